package mobile.tinysam.platform

import android.graphics.Bitmap
import android.graphics.Color
import mobile.tinysam.core.LabelMap
import mobile.tinysam.core.Mask
import mobile.tinysam.core.PhotoResizer
import mobile.tinysam.core.RGB_CHANNELS
import mobile.tinysam.core.RgbImage
import mobile.tinysam.core.RgbRows
import mobile.tinysam.core.objectColour

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

/** The mask as a picture to lay over the photo: `colour` (ARGB) inside, transparent outside. */
fun Mask.toBitmap(colour: Int): Bitmap {
    val colours = IntArray(pixels.size) { if (pixels[it] == Mask.INSIDE) colour else Color.TRANSPARENT }
    return Bitmap.createBitmap(colours, width, height, Bitmap.Config.ARGB_8888)
}

/** The objects as a picture to lay over the photo, each in its colour with `alpha` (0 to 255). */
fun LabelMap.toBitmap(alpha: Int): Bitmap {
    val palette = HashMap<Int, Int>()
    val colours = IntArray(height * width) { index ->
        val label = this[index]
        if (label == 0) {
            Color.TRANSPARENT
        } else {
            palette.getOrPut(label) {
                val (red, green, blue) = objectColour(label - 1)
                Color.argb(alpha, red, green, blue)
            }
        }
    }
    return Bitmap.createBitmap(colours, width, height, Bitmap.Config.ARGB_8888)
}
