package mobile.tinysam.core

import java.nio.ByteBuffer

private const val QUARTER_TURN = 90
private const val FULL_TURN = 360

/**
 * A frame of a camera as the core reads it, upright and without a copy: rows of R, G, B and a byte that is not read.
 *
 * `pixels` are those of CameraX's `ImageProxy.planes[0]` with the format `RGBA_8888`, whose `rowStride` and
 * `pixelStride` are in bytes; `height` and `width` are the buffer's, `rotationDegrees` turn it clockwise until it is
 * upright.  It holds as long as the proxy is open.  Throws [ImageException] for a buffer that is too short and for another
 * rotation than a multiple of 90.
 */
class CameraFrame(
    private val pixels: ByteBuffer,
    height: Int,
    width: Int,
    private val rowStride: Int,
    private val pixelStride: Int,
    rotationDegrees: Int = 0,
) : RgbRows {
    private val turns = Math.floorMod(rotationDegrees, FULL_TURN) / QUARTER_TURN
    private val bufferHeight = height
    private val bufferWidth = width
    override val height: Int = if (turns % 2 == 0) height else width
    override val width: Int = if (turns % 2 == 0) width else height

    init {
        if (height < 1 || width < 1) throw ImageException("the frame has no pixels: $height x $width")
        if (rotationDegrees % QUARTER_TURN != 0) {
            throw ImageException(
                "a frame is turned by multiples of $QUARTER_TURN degrees, not by $rotationDegrees",
            )
        }
        val last = (height - 1L) * rowStride + (width - 1L) * pixelStride + RGB_CHANNELS
        if (pixelStride < RGB_CHANNELS || rowStride < width.toLong() * pixelStride || last > pixels.limit()) {
            throw ImageException(
                "${pixels.limit()} bytes in rows of $rowStride and pixels of $pixelStride are no $height x $width frame",
            )
        }
    }

    override fun readRow(y: Int, row: ByteArray) {
        // The place of the row's first pixel in the buffer, and the way to the next.
        val (first, step) = when (turns) {
            0 -> place(y, 0) to pixelStride
            1 -> place(bufferHeight - 1, y) to -rowStride
            2 -> place(bufferHeight - 1 - y, bufferWidth - 1) to -pixelStride
            else -> place(0, bufferWidth - 1 - y) to rowStride
        }
        for (x in 0 until width) {
            for (i in 0 until RGB_CHANNELS) row[x * RGB_CHANNELS + i] = pixels.get(first + x * step + i)
        }
    }

    private fun place(row: Int, column: Int) = row * rowStride + column * pixelStride
}
