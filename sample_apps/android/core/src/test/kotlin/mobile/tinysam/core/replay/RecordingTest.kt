package mobile.tinysam.core.replay

import mobile.tinysam.core.RecordingException
import mobile.tinysam.core.SharedFixtures
import mobile.tinysam.core.json.JsonFields
import mobile.tinysam.core.json.JsonNumber
import mobile.tinysam.core.json.JsonObject
import mobile.tinysam.core.json.parseJson
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

/** Files that are missing, cut or of another shape. */
class RecordingTest {
    @get:Rule
    val folder = TemporaryFolder()

    private val files by lazy { filesIn(folder.root) }

    private fun fields(text: String) =
        JsonFields((parseJson(text) as JsonObject).fields, "case", ::RecordingException)

    private fun refusal(call: () -> Unit): String =
        assertThrows(RecordingException::class.java) { call() }.message.orEmpty()

    @Test
    fun `floats are little-endian`() {
        folder.newFile("two.bin").writeBytes(byteArrayOf(0, 0, -128, 63, 0, 0, 0, -64))
        assertArrayEquals(floatArrayOf(1f, -2f), files.readFloats("two.bin", 2), 0f)
    }

    @Test
    fun `a file that is not there`() = assertTrue("none.bin" in refusal { files.readBytes("none.bin", 1) })

    @Test
    fun `a file that is cut`() {
        folder.newFile("cut.bin").writeBytes(ByteArray(7))
        assertTrue("7 bytes" in refusal { files.readFloats("cut.bin", 2) })
    }

    @Test
    fun `a file that is too long`() {
        folder.newFile("long.bin").writeBytes(ByteArray(9))
        assertTrue("9 bytes" in refusal { files.readFloats("long.bin", 2) })
    }

    @Test
    fun `another dtype`() {
        val tensor = fields("""{"file": "a.bin", "dtype": "float16", "shape": [2]}""")
        assertTrue("dtype" in refusal { readFloatTensor(files, tensor) })
        assertTrue("dtype" in refusal { readByteTensor(files, tensor) })
    }

    @Test
    fun `a shape that overflows`() {
        val tensor = fields("""{"file": "a.bin", "dtype": "uint8", "shape": [65536, 65536]}""")
        assertThrows(ArithmeticException::class.java) { readByteTensor(files, tensor) }
    }

    @Test
    fun `an everything case without its recording`() {
        val case = fields("""{"height": 4, "width": 4, "settings": {}}""")
        refusal { EverythingCase.read(files, case, SharedFixtures.manifest) }
    }

    @Test
    fun `fixtures of another layout`() {
        folder.newFile("fixtures.json").writeText("""{"layout_version": 2}""")
        assertTrue("version 2" in refusal { FixtureSet.read(files, SharedFixtures.manifest.labels) })
    }

    @Test
    fun `fixtures that are cut`() {
        folder.newFile("fixtures.json").writeText("""{"layout_version": 1, "id": "a""")
        assertTrue("fixtures.json" in refusal { FixtureSet.read(files, SharedFixtures.manifest.labels) })
    }

    @Test
    fun `no folder of fixtures at all`() {
        assertTrue("fixtures.json" in refusal { FixtureSet.read(files, SharedFixtures.manifest.labels) })
    }

    @Test
    fun `figures are noted per step`() {
        val latencies = Latencies()
        assertEquals(7, latencies.measure("encode") { 7 })
        latencies.measure("encode") { }
        assertEquals(listOf("encode"), latencies.byStep.keys.toList())
        assertEquals(2, latencies.byStep.getValue("encode").size)
        assertTrue(latencies.byStep.getValue("encode").all { it >= 0 })
    }

    @Test
    fun `numbers keep their text`() = assertEquals(JsonNumber("0.1"), parseJson("0.1"))
}
