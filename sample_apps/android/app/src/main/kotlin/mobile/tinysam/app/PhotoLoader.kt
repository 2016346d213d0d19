package mobile.tinysam.app

import android.content.ContentResolver
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.net.Uri
import androidx.exifinterface.media.ExifInterface
import mobile.tinysam.core.ImageException
import mobile.tinysam.core.RgbImage
import mobile.tinysam.core.RgbRows
import mobile.tinysam.core.upright
import mobile.tinysam.platform.BitmapRows
import mobile.tinysam.platform.toBitmap
import java.io.IOException
import java.io.InputStream

/** Photos with a longer side are decoded at half size, a quarter, …: overlays of them must fit into memory. */
private const val MAX_SIDE = 4096

/** A photo for the core and for the screen: the same pixels, upright. */
data class LoadedPhoto(val rows: RgbRows, val shown: Bitmap)

/** Reads photos that the user picked or took; throws [ImageException] for files that are none. */
class PhotoLoader(private val resolver: ContentResolver) {
    fun load(uri: Uri): LoadedPhoto {
        val bounds = BitmapFactory.Options().apply { inJustDecodeBounds = true }
        read(uri) { BitmapFactory.decodeStream(it, null, bounds) }
        val options = BitmapFactory.Options().apply {
            inPreferredConfig = Bitmap.Config.ARGB_8888
            inSampleSize = sampleSize(maxOf(bounds.outWidth, bounds.outHeight))
        }
        val bitmap = read(uri) { BitmapFactory.decodeStream(it, null, options) }
            ?: throw ImageException("$uri is no photo that Android can decode")
        val orientation = read(uri) {
            ExifInterface(it).getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL)
        }
        val rows = BitmapRows(bitmap)
        if (orientation <= ExifInterface.ORIENTATION_NORMAL) return LoadedPhoto(rows, bitmap)
        val turned = RgbImage.of(rows).upright(orientation)
        return LoadedPhoto(turned, turned.toBitmap())
    }

    private fun sampleSize(longSide: Int): Int = generateSequence(1) { it * 2 }.first { longSide / it <= MAX_SIDE }

    private fun <T> read(uri: Uri, use: (InputStream) -> T): T = try {
        val stream = resolver.openInputStream(uri) ?: throw ImageException("$uri cannot be opened")
        stream.use(use)
    } catch (error: IOException) {
        throw ImageException("$uri cannot be read: ${error.message}")
    }
}
