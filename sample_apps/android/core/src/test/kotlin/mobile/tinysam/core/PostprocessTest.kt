package mobile.tinysam.core

import mobile.tinysam.core.json.JsonFields
import mobile.tinysam.core.replay.readFloatTensor
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Test
import org.junit.runner.RunWith
import org.junit.runners.Parameterized

@RunWith(Parameterized::class)
class PostprocessTest(@Suppress("unused") private val name: String, private val case: JsonFields) {
    private val geometry =
        Geometry.of(case.integer("height"), case.integer("width"), case.integer("image_size"), case.rules)
    private val lowRes = readFloatTensor(SharedFixtures.files, case.fields("low_res"))
    private val side = case.shape("low_res")[1]
    private val threshold = SharedFixtures.manifest.maskThreshold.toFloat()
    private val upscaler = MaskUpscaler(geometry, side, threshold)

    private fun logits(mask: Int) = lowRes.copyOfRange(mask * side * side, (mask + 1) * side * side)

    @Test
    fun `the mask to show`() {
        val masks = List(case.shape("low_res")[0]) { logits(it) }
        assertEquals(case.integer("best"), bestOf(selectionScores(masks, case.floats("scores"), case.rules)))
    }

    @Test
    fun `masks but for declared ties`() {
        val expected = case.bytes("masks")
        val pixels = geometry.height * geometry.width
        for (i in 0 until case.shape("masks")[0]) {
            val mask = upscaler.mask(logits(i))
            val free = (0 until pixels).filter { expected[i * pixels + it] == TIE }
            free.forEach { mask.pixels[it] = TIE }
            assertArrayEquals(expected.copyOfRange(i * pixels, (i + 1) * pixels), mask.pixels)
        }
    }

    companion object {
        private const val TIE: Byte = 2

        @JvmStatic
        @Parameterized.Parameters(name = "{0}")
        fun cases() = SharedFixtures.cases("postprocess") + SharedFixtures.cases("rules_postprocess")
    }
}
