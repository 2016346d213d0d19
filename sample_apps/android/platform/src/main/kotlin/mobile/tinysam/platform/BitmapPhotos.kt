package mobile.tinysam.platform

import android.graphics.Bitmap
import android.graphics.Color
import android.graphics.Matrix
import mobile.tinysam.core.LabelMap
import mobile.tinysam.core.Mask
import mobile.tinysam.core.PhotoResizer
import mobile.tinysam.core.RGB_CHANNELS
import mobile.tinysam.core.RgbImage
import mobile.tinysam.core.RgbRows
import mobile.tinysam.core.Turn
import mobile.tinysam.core.objectColour
import mobile.tinysam.core.uprightTurn
import java.nio.ByteBuffer

/**
 * A bitmap as the core reads it, row by row and without a copy of the whole.
 *
 * The bitmap is one that software can read (not `HARDWARE`), opaque, in sRGB.  One thread at a time.
 */
class BitmapRows(val bitmap: Bitmap) : RgbRows {
    override val height: Int = bitmap.height
    override val width: Int = bitmap.width
    private val colours = IntArray(width)

    override fun readRow(y: Int, row: ByteArray) {
        bitmap.getPixels(colours, 0, width, 0, y, width, 1)
        for (x in 0 until width) {
            val colour = colours[x]
            row[x * RGB_CHANNELS] = Color.red(colour).toByte()
            row[x * RGB_CHANNELS + 1] = Color.green(colour).toByte()
            row[x * RGB_CHANNELS + 2] = Color.blue(colour).toByte()
        }
    }
}

/** The photo as a bitmap `ARGB_8888`. */
fun RgbImage.toBitmap(): Bitmap {
    val colours = IntArray(height * width) {
        val first = it * RGB_CHANNELS
        Color.rgb(
            samples[first].toUByte().toInt(),
            samples[first + 1].toUByte().toInt(),
            samples[first + 2].toUByte().toInt(),
        )
    }
    return Bitmap.createBitmap(colours, width, height, Bitmap.Config.ARGB_8888)
}

/**
 * Android's own resize: faster, but not Pillow's.
 *
 * It filters two pixels per axis whatever the shrink factor, so large photos alias and masks differ from the
 * host's.  `tinysam-mobile compare-dump` will say so.  Not the default for that reason.
 */
val platformResizer =
    PhotoResizer { photo, height, width ->
        val bitmap = (photo as? BitmapRows)?.bitmap ?: RgbImage.of(photo).toBitmap()
        RgbImage.of(BitmapRows(Bitmap.createScaledBitmap(bitmap, width, height, true)))
    }

/**
 * The mask as a layer over the photo, a byte per pixel, to be drawn in any colour.
 *
 * The mask's pixels are the layer's, so make it with `inside` = [Mask.OPAQUE].
 */
fun Mask.toLayer(): Bitmap {
    val layer = Bitmap.createBitmap(width, height, Bitmap.Config.ALPHA_8)
    layer.copyPixelsFromBuffer(ByteBuffer.wrap(pixels))
    return layer
}

/** The objects as a picture to lay over the photo, each in its colour with `alpha` (0 to 255). */
fun LabelMap.toBitmap(alpha: Int): Bitmap {
    val palette = HashMap<Int, Int>()
    val bitmap = Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888)
    val row = IntArray(width)
    for (y in 0 until height) {
        for (x in 0 until width) {
            val label = this[y * width + x]
            row[x] = if (label == 0) Color.TRANSPARENT else palette.getOrPut(label) { colourOf(label, alpha) }
        }
        bitmap.setPixels(row, 0, width, 0, y, width, 1)
    }
    return bitmap
}

private fun colourOf(label: Int, alpha: Int): Int {
    val (red, green, blue) = objectColour(label - 1)
    return Color.argb(alpha, red, green, blue)
}

/** What turns a photo of an EXIF `orientation` upright; null where nothing is to do. */
fun uprightMatrix(orientation: Int): Matrix? {
    val turn = uprightTurn(orientation)
    if (turn == Turn(0, false)) return null
    val matrix = Matrix()
    matrix.postRotate(turn.degrees.toFloat())
    if (turn.isMirrored) matrix.postScale(-1f, 1f)
    return matrix
}
