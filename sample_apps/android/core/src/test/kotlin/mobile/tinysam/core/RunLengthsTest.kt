package mobile.tinysam.core

import mobile.tinysam.core.json.JsonFields
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test
import org.junit.runner.RunWith
import org.junit.runners.Parameterized

@RunWith(Parameterized::class)
class RunLengthsTest(@Suppress("unused") private val name: String, private val case: JsonFields) {
    private val isFaulty = !case.isNull("error")
    private val hasMask = !case.isNull("mask")

    private fun read() =
        RunLengths.fromCoco(case.integer("height"), case.integer("width"), case.text("compressed"))

    @Test
    fun `counts and text`() {
        if (isFaulty) {
            val error = assertThrows(RunLengthException::class.java) { read() }
            assertEquals(case.text("error"), error.fault.name.lowercase())
            return
        }
        assertArrayEquals(case.integers("counts"), read().counts)
        assertEquals(case.text("compressed"), read().toCoco())
        assertEquals(case.integer("area"), read().area)
    }

    @Test
    fun `mask to runs and back`() {
        if (!hasMask) return
        val mask = case.mask("mask")
        assertEquals(read(), RunLengths.encode(mask))
        assertArrayEquals(mask.pixels, read().decode().pixels)
    }

    @Test
    fun `box around the mask`() {
        if (case.isNull("box")) return
        val (x0, y0, x1, y1) = case.integers("box")
        assertEquals(Box(x0, y0, x1, y1), read().box)
    }

    companion object {
        @JvmStatic
        @Parameterized.Parameters(name = "{0}")
        fun cases() = SharedFixtures.cases("rle")
    }
}
