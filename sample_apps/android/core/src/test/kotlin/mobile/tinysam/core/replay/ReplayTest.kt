package mobile.tinysam.core.replay

import mobile.tinysam.core.Geometry
import mobile.tinysam.core.Mask
import mobile.tinysam.core.Predictor
import mobile.tinysam.core.Prompt
import mobile.tinysam.core.PromptBox
import mobile.tinysam.core.PromptPoint
import mobile.tinysam.core.RecordingException
import mobile.tinysam.core.RgbImage
import mobile.tinysam.core.SharedFixtures
import mobile.tinysam.core.json.JsonFields
import mobile.tinysam.core.json.parseJsonObject
import mobile.tinysam.core.packPrompts
import mobile.tinysam.core.preprocess
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.ZipFile
import kotlin.random.Random

/** A replay of fixtures on a recorded engine, and the zip that it writes (docs/device_loop.md). */
class ReplayTest {
    @get:Rule
    val temporary = TemporaryFolder()

    private val manifest = SharedFixtures.manifest
    private val sizes = manifest.sizes
    private val fixtures by lazy { File(temporary.root, "fixtures") }
    private val dump by lazy { File(temporary.root, "dump.zip") }
    private val random = Random(seed = 0)
    private val photo = RgbImage(HEIGHT, WIDTH, ByteArray(HEIGHT * WIDTH * 3) { (it * 7).toByte() })
    private val clicks = Prompt(listOf(PromptPoint(3.0, 2.0), PromptPoint(1.5, 4.0, isOnObject = false)))
    private val box = Prompt(box = PromptBox(1.0, 1.0, 5.0, 6.0))

    @Before
    fun writeFixtures() {
        writeBytes("photo_0/pixels", photo.samples)
        val image = preprocess(photo, manifest).image
        writeFloats("photo_0/preprocessed_image", FloatArray(image.remaining()).also { image.duplicate().get(it) })
        writeFloats("photo_0/embedding", noise(sizes.channels * sizes.gridSize * sizes.gridSize))
        listOf(clicks, box, clicks).forEachIndexed { i, prompt ->
            val name = "photo_0/prompt_$i"
            writeFloats("$name/packed_prompt", slotRowsOf(prompt, SPARE_XY.takeIf { i == 2 } ?: 0f))
            writeFloats("$name/low_res_logits", noise(manifest.masksPerPrompt * sizes.maskSize * sizes.maskSize))
            writeFloats("$name/predicted_iou", noise(manifest.masksPerPrompt))
        }
        writeFloats("photo_0/prompt_1/mask_input", noise(sizes.maskSize * sizes.maskSize))
        File(fixtures, "fixtures.json").writeText(index())
    }

    private fun index(): String {
        val points = """"points": [3.0, 2.0, 1.5, 4.0], "labels": [1, 0], "box": null, "has_mask_input": false"""
        val boxed = """"points": [], "labels": [], "box": [1, 1, 5, 6], "has_mask_input": true"""
        return """{"layout_version": 1, "id": "$ID", "checkpoint_sha256": null,
            "sizes": {"image_size": ${sizes.imageSize}, "grid_size": ${sizes.gridSize},
                "mask_size": ${sizes.maskSize}, "channels": ${sizes.channels}, "slots": ${sizes.slots},
                "batch": ${sizes.batch}, "score_batch": ${sizes.scoreBatch}},
            "photos": [{"name": "photo_0", "title": "t", "height": $HEIGHT, "width": $WIDTH, "prompts": [
                {"kind": "points", $points, "spare_xy": 0.0}, {"kind": "box", $boxed, "spare_xy": 0.0},
                {"kind": "spare_slots", $points, "spare_xy": $SPARE_XY}]}], "tensors": []}"""
    }

    private fun slotRowsOf(prompt: Prompt, spare: Float): FloatArray {
        val geometry = Geometry.of(HEIGHT, WIDTH, sizes.imageSize)
        val packed = packPrompts(listOf(prompt), geometry, manifest.labels, sizes.slots, batch = 1)
        return FloatArray(sizes.slots * 3) { i ->
            val label = packed.labels[i / 3]
            when {
                i % 3 == 2 -> label.toFloat()
                label == manifest.labels.unused -> spare
                else -> packed.coords[i / 3 * 2 + i % 3]
            }
        }
    }

    private fun noise(count: Int) = FloatArray(count) { random.nextFloat() - 0.5f }

    private fun writeFloats(name: String, values: FloatArray) {
        val bytes = ByteBuffer.allocate(values.size * 4).order(ByteOrder.LITTLE_ENDIAN)
        bytes.asFloatBuffer().put(values)
        writeBytes(name, bytes.array())
    }

    private fun writeBytes(name: String, values: ByteArray) =
        File(fixtures, "$name.bin").apply { parentFile.mkdirs() }.writeBytes(values)

    private fun run() {
        val set = FixtureSet.read(filesIn(fixtures), manifest.labels)
        DumpWriter(dump).use { writer ->
            val replay = Replay(Predictor(RecordedEngine(set, manifest), manifest), set, writer)
            replay.run()
            val device = DeviceDescription("JVM \"17\"", "Linux", "0.1.0")
            writer.finish(set.id, device, RunDescription("recorded", "fp32", "cpu", emptyMap()), replay.latencies)
        }
    }

    private fun entry(name: String): ByteArray =
        ZipFile(dump).use { zip -> zip.getInputStream(zip.getEntry(name)).readBytes() }

    private fun dumpIndex(): JsonFields =
        parseJsonObject(entry("dump.json").decodeToString(), "dump.json", ::IllegalStateException)

    @Test
    fun `holds every expected tensor and the index, nothing else`() {
        run()
        val perPrompt =
            listOf("packed_prompt", "low_res_logits", "predicted_iou", "chosen_mask", "full_size_mask")
        val expected =
            setOf("dump.json", "photo_0/preprocessed_image.bin", "photo_0/embedding.bin") +
                (0..2).flatMap { i -> perPrompt.map { "photo_0/prompt_$i/$it.bin" } }
        assertEquals(expected, ZipFile(dump).use { zip -> zip.entries().asSequence().map { it.name }.toSet() })
        assertEquals(17, dumpIndex().objects("tensors").size)
    }

    @Test
    fun `repeats the recorded tensors byte by byte`() {
        run()
        val names = listOf("preprocessed_image", "embedding", "prompt_0/low_res_logits", "prompt_2/packed_prompt")
        for (name in names) {
            assertArrayEquals(File(fixtures, "photo_0/$name.bin").readBytes(), entry("photo_0/$name.bin"))
        }
    }

    @Test
    fun `the mask is that of the highest score`() {
        run()
        val scores = filesIn(fixtures).readFloats("photo_0/prompt_1/predicted_iou.bin", manifest.masksPerPrompt)
        val best = scores.indices.maxBy { scores[it] }
        assertEquals(best, entry("photo_0/prompt_1/chosen_mask.bin")[0].toInt())
        val mask = entry("photo_0/prompt_1/full_size_mask.bin")
        assertEquals(HEIGHT * WIDTH, mask.size)
        assertTrue(mask.all { it == Mask.INSIDE || it == Mask.OUTSIDE })
    }

    @Test
    fun `one figure per call, warm-up left out`() {
        run()
        val latency = dumpIndex().fields("latency_ms")
        val counts = latency.keys.associateWith { latency.numbers(it).size }
        val expected = mapOf(
            "preprocess" to 1,
            "encode" to 1,
            "decode" to 2,
            "postprocess" to 3,
            "decode_batch" to 1,
        )
        assertEquals(expected, counts)
    }

    @Test
    fun `the index says whose fixtures and which device`() {
        run()
        assertEquals(ID, dumpIndex().text("fixtures_id"))
        assertEquals("JVM \"17\"", dumpIndex().fields("device").text("model"))
        assertTrue(dumpIndex().fields("run").isNull("load_ms"))
    }

    @Test
    fun `fixtures of another model leave no dump behind`() {
        val text = File(fixtures, "fixtures.json").readText()
        File(fixtures, "fixtures.json").writeText(text.replace("\"batch\": 16", "\"batch\": 4"))
        assertThrows(RecordingException::class.java) { run() }
        assertEquals(listOf("fixtures"), temporary.root.list().orEmpty().toList())
    }

    @Test
    fun `a tensor that is cut leaves no dump behind`() {
        File(fixtures, "photo_0/prompt_2/low_res_logits.bin").writeBytes(ByteArray(5))
        assertThrows(RecordingException::class.java) { run() }
        assertFalse(dump.exists())
    }

    @Test
    fun `another photo than the recorded one is refused`() {
        writeBytes("photo_0/pixels", photo.samples.reversedArray())
        val message = assertThrows(RecordingException::class.java) { run() }.message.orEmpty()
        assertTrue(message, "preprocessed" in message)
    }

    private companion object {
        const val HEIGHT = 9
        const val WIDTH = 7
        const val SPARE_XY = 4096.0f
        const val ID = "0123456789abcdef"
    }
}
