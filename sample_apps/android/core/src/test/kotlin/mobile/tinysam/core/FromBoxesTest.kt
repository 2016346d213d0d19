package mobile.tinysam.core

import mobile.tinysam.core.json.JsonFields
import mobile.tinysam.core.replay.RecordedClicks
import mobile.tinysam.core.replay.readByteTensor
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Test
import org.junit.runner.RunWith
import org.junit.runners.Parameterized

/** One object for each box, as on the host, from recorded decoder answers. */
@RunWith(Parameterized::class)
class FromBoxesTest(@Suppress("unused") private val name: String, private val case: JsonFields) {
    private val manifest = SharedFixtures.manifest

    private fun engine(): RecordedClicks {
        val corners = case.floats("recorded_boxes")
        val scale = case.number("scale").toFloat()
        val steps = readByteTensor(SharedFixtures.files, case.fields("logits"))
        return RecordedClicks(
            manifest = manifest,
            // Slot 0 of a box is its top left.
            points = FloatArray(corners.size / 2) { corners[it / 2 * 4 + it % 2] },
            answers = case.integers("answers"),
            logits = FloatArray(steps.size) { steps[it] * scale },
            scores = case.floats("recorded_scores"),
        )
    }

    @Test
    fun `finds the host's objects`() {
        val geometry = Geometry.of(case.integer("height"), case.integer("width"), manifest.sizes.imageSize)
        val photo = EncodedPhoto(ImageFeatures.zeros(manifest.encoderOutputs), geometry)
        val boxes = case.numbers("boxes").toList().chunked(4).map { PromptBox(it[0], it[1], it[2], it[3]) }
        val found = objectsFromBoxes(Predictor(engine(), manifest), photo, boxes)
        val expected = case.objects("objects")
        assertEquals(expected.size, found.size)
        for ((item, fields) in found.zip(expected)) {
            assertEquals(fields.numbers("point").toList(), listOf(item.point.x, item.point.y))
            assertEquals(fields.integer("mask_index"), item.maskIndex)
            assertEquals(fields.number("score").toFloat(), item.score, 0f)
            assertEquals(fields.number("stability").toFloat(), item.stability, 0f)
            val (x0, y0, x1, y1) = fields.integers("box")
            assertEquals(Box(x0, y0, x1, y1), item.box)
            assertArrayEquals(fields.integers("counts"), item.runs.counts)
        }
    }

    companion object {
        @JvmStatic
        @Parameterized.Parameters(name = "{0}")
        fun cases() = SharedFixtures.cases("from_boxes")
    }
}
