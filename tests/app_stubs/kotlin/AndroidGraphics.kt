@file:Suppress("unused")

package android.graphics

import android.content.ContentResolver
import android.net.Uri
import android.util.Size
import java.io.InputStream
import java.nio.Buffer
import mobile.tinysam.stubs.absent

// Signatures only: what the apps' platform layers use of Android, for a compiler without Android's SDK.

class Rect

class Matrix {
    fun postRotate(degrees: Float): Boolean = absent()

    fun postScale(sx: Float, sy: Float): Boolean = absent()
}

class ColorSpace {
    enum class Named { SRGB }

    companion object {
        fun get(name: Named): ColorSpace = absent()
    }
}

class ImageDecoder private constructor() {
    abstract class Source

    class ImageInfo {
        val size: Size get() = absent()
    }

    fun interface OnHeaderDecodedListener {
        fun onHeaderDecoded(decoder: ImageDecoder, info: ImageInfo, source: Source)
    }

    var allocator: Int
        get() = absent()
        set(_) = absent()

    fun setTargetSampleSize(sampleSize: Int): Unit = absent()

    fun setTargetColorSpace(colorSpace: ColorSpace?): Unit = absent()

    companion object {
        const val ALLOCATOR_SOFTWARE: Int = 1

        fun createSource(cr: ContentResolver, uri: Uri): Source = absent()

        fun decodeBitmap(src: Source, listener: OnHeaderDecodedListener): Bitmap = absent()
    }
}

// Real enough for the view model's tests: a size, and pixels that nobody looks at.
class Bitmap(val width: Int, val height: Int) {
    fun copyPixelsFromBuffer(src: Buffer) = check(src.remaining() == width * height)

    fun setPixels(pixels: IntArray, offset: Int, stride: Int, x: Int, y: Int, width: Int, height: Int) = Unit

    fun getPixels(pixels: IntArray, offset: Int, stride: Int, x: Int, y: Int, width: Int, height: Int): Unit =
        absent()

    enum class Config { ALPHA_8, ARGB_8888 }

    companion object {
        fun createBitmap(colors: IntArray, width: Int, height: Int, config: Config): Bitmap = Bitmap(width, height)

        fun createBitmap(width: Int, height: Int, config: Config): Bitmap = Bitmap(width, height)

        fun createBitmap(
            source: Bitmap,
            x: Int,
            y: Int,
            width: Int,
            height: Int,
            m: Matrix?,
            filter: Boolean,
        ): Bitmap = absent()

        fun createScaledBitmap(src: Bitmap, dstWidth: Int, dstHeight: Int, filter: Boolean): Bitmap = absent()
    }
}

object BitmapFactory {
    class Options {
        var inJustDecodeBounds: Boolean = false
        var inPreferredConfig: Bitmap.Config? = null
        var inSampleSize: Int = 0
        var outWidth: Int = 0
        var outHeight: Int = 0
    }

    fun decodeStream(stream: InputStream?, outPadding: Rect?, opts: Options?): Bitmap? = absent()
}

object Color {
    const val TRANSPARENT: Int = 0

    fun red(color: Int): Int = absent()

    fun green(color: Int): Int = absent()

    fun blue(color: Int): Int = absent()

    fun rgb(red: Int, green: Int, blue: Int): Int = red + green + blue

    fun argb(alpha: Int, red: Int, green: Int, blue: Int): Int = alpha + red + green + blue
}
