package mobile.tinysam.core

import mobile.tinysam.core.json.JsonFields
import mobile.tinysam.core.replay.EverythingCase
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Test
import org.junit.runner.RunWith
import org.junit.runners.Parameterized

/** The whole mode on recorded decoder answers: points, calls, survivors and their masks are the host's. */
@RunWith(Parameterized::class)
class EverythingTest(@Suppress("unused") private val name: String, private val case: JsonFields) {
    private fun search(scoring: Boolean): EverythingResult {
        val read = EverythingCase.read(SharedFixtures.files, case, SharedFixtures.manifest, scoring)
        val generator = EverythingGenerator(Predictor(read.engine, SharedFixtures.manifest), read.settings)
        if (read.settings.cropLayers == 0) return generator.generate(read.photo)
        val (height, width) = read.photo.geometry.height to read.photo.geometry.width
        return generator.generate(RgbImage.ofGrey(height, width, ByteArray(height * width)))
    }

    @Test
    fun `asks for the host's points in its order`() {
        val result = search(scoring = true)
        assertVisits(result)
        assertEquals(case.integer("decoder_calls"), result.decoderCalls)
        assertEquals(if ("score_calls" in case.keys) case.integer("score_calls") else 0, result.scoreCalls)
    }

    @Test
    fun `finds the host's objects`() = assertFinds(search(scoring = true))

    /** An artifact without `score_batch`, of which more is decoded; where nothing else depends on that. */
    @Test
    fun `finds them without scores that come first`() {
        val calls = if ("score_error" in case.keys) case.integerOrNull("decoder_calls_without_scores") else null
        if (calls == null) return
        val result = search(scoring = false)
        assertEquals(calls to 0, result.decoderCalls to result.scoreCalls)
        assertVisits(result)
        assertFinds(result)
    }

    private fun assertVisits(result: EverythingResult) {
        assertEquals(case.numbers("visited").toList(), result.visited.flatMap { listOf(it.x, it.y) })
        assertEquals(case.flag("stopped_early"), result.end != SearchEnd.COMPLETE)
    }

    private fun assertFinds(result: EverythingResult) {
        val expected = case.objects("objects")
        assertEquals(expected.size, result.objects.size)
        for ((found, fields) in result.objects.zip(expected)) {
            assertEquals(fields.numbers("point").toList(), listOf(found.point.x, found.point.y))
            assertEquals(fields.integer("mask_index"), found.maskIndex)
            assertEquals(fields.number("score").toFloat(), found.score, 0f)
            assertEquals(fields.number("stability").toFloat(), found.stability, 0f)
            val (x0, y0, x1, y1) = fields.integers("box")
            assertEquals(Box(x0, y0, x1, y1), found.box)
            assertArrayEquals(fields.integers("counts"), found.runs.counts)
        }
    }

    companion object {
        @JvmStatic
        @Parameterized.Parameters(name = "{0}")
        fun cases() = listOf("everything", "everything_fast", "everything_crops").flatMap { topic ->
            SharedFixtures.cases(topic).map { (name, case) -> arrayOf("$topic: $name", case) }
        }
    }
}
