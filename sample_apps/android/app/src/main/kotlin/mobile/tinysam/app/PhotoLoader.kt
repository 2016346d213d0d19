package mobile.tinysam.app

import android.content.ContentResolver
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.ColorSpace
import android.graphics.ImageDecoder
import android.net.Uri
import android.os.Build
import androidx.annotation.RequiresApi
import androidx.exifinterface.media.ExifInterface
import mobile.tinysam.core.ImageException
import mobile.tinysam.core.RgbRows
import mobile.tinysam.platform.BitmapRows
import mobile.tinysam.platform.uprightMatrix
import java.io.InputStream

/** Photos with a longer side are decoded at half size, a quarter, …: they and their masks must fit into memory. */
private const val MAX_SIDE = 4096

/** A photo for the core and for the screen: the same pixels, upright. */
data class LoadedPhoto(val rows: RgbRows, val shown: Bitmap)

/** What the view model asks of photos. */
fun interface PhotoSource {
    /** Decodes a photo; throws [ImageException] for a file that is none, and what Android throws for one that is gone. */
    fun load(uri: Uri): LoadedPhoto
}

/** Reads photos that the user picked or took, upright, in sRGB and no larger than they need be. */
class PhotoLoader(private val resolver: ContentResolver) : PhotoSource {
    override fun load(uri: Uri): LoadedPhoto {
        val bitmap = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.P) decoded(uri) else decodedBefore9(uri)
        return LoadedPhoto(BitmapRows(bitmap), bitmap)
    }

    /** Turns the photo itself, while it decodes. */
    @RequiresApi(Build.VERSION_CODES.P)
    private fun decoded(uri: Uri): Bitmap =
        ImageDecoder.decodeBitmap(ImageDecoder.createSource(resolver, uri)) { decoder, info, _ ->
            // The core reads pixels, which a bitmap on the GPU does not give.
            decoder.allocator = ImageDecoder.ALLOCATOR_SOFTWARE
            decoder.setTargetSampleSize(sampleSize(maxOf(info.size.width, info.size.height)))
            decoder.setTargetColorSpace(ColorSpace.get(ColorSpace.Named.SRGB))
        }

    private fun decodedBefore9(uri: Uri): Bitmap {
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
        val matrix = uprightMatrix(orientation) ?: return bitmap
        return Bitmap.createBitmap(bitmap, 0, 0, bitmap.width, bitmap.height, matrix, false)
    }

    private fun sampleSize(longSide: Int): Int = generateSequence(1) { it * 2 }.first { longSide / it <= MAX_SIDE }

    private fun <T> read(uri: Uri, use: (InputStream) -> T): T {
        val stream = resolver.openInputStream(uri) ?: throw ImageException("$uri cannot be opened")
        return stream.use(use)
    }
}
