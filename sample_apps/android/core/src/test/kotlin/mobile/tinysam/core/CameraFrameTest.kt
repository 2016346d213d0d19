package mobile.tinysam.core

import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test
import java.nio.ByteBuffer

/** Frames with padded rows, turned upright. */
class CameraFrameTest {
    /** Two rows of three pixels 1 2 3 / 4 5 6, each as R = n, G = 10 n, B = 20 n, in rows of 16 bytes. */
    private val buffer = ByteBuffer.allocate(2 * ROW).apply {
        for (pixel in 0 until 6) {
            val place = pixel / 3 * ROW + pixel % 3 * PIXEL
            for ((i, factor) in listOf(1, 10, 20, 99).withIndex()) put(place + i, ((pixel + 1) * factor).toByte())
        }
    }

    private fun frame(rotation: Int) = CameraFrame(buffer, height = 2, width = 3, ROW, PIXEL, rotation)

    private fun reds(frame: RgbRows): List<List<Int>> {
        val image = RgbImage.of(frame)
        return List(image.height) { y ->
            List(image.width) { x -> image.samples[(y * image.width + x) * 3].toInt() }
        }
    }

    @Test
    fun `every rotation turns clockwise`() {
        assertEquals(listOf(listOf(1, 2, 3), listOf(4, 5, 6)), reds(frame(0)))
        assertEquals(listOf(listOf(4, 1), listOf(5, 2), listOf(6, 3)), reds(frame(90)))
        assertEquals(listOf(listOf(6, 5, 4), listOf(3, 2, 1)), reds(frame(180)))
        assertEquals(listOf(listOf(3, 6), listOf(2, 5), listOf(1, 4)), reds(frame(270)))
        assertEquals(reds(frame(270)), reds(frame(-90)))
    }

    @Test
    fun `green and blue follow, the fourth byte does not`() {
        val samples = RgbImage.of(frame(90)).samples
        assertEquals(listOf(4, 40, 80, 1, 10, 20), samples.take(6).map { it.toInt() and 0xFF })
    }

    @Test
    fun `frames that are none`() {
        assertThrows(ImageException::class.java) { frame(45) }
        assertThrows(ImageException::class.java) { CameraFrame(buffer, 3, 3, ROW, PIXEL) }
        assertThrows(ImageException::class.java) { CameraFrame(buffer, 2, 5, ROW, PIXEL) }
        assertThrows(ImageException::class.java) { CameraFrame(buffer, 2, 3, ROW, pixelStride = 1) }
        assertThrows(ImageException::class.java) { CameraFrame(buffer, 0, 3, ROW, PIXEL) }
    }

    private companion object {
        const val ROW = 16
        const val PIXEL = 4
    }
}
