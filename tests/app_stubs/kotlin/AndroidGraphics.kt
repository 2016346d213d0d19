@file:Suppress("unused")

package android.graphics

import java.io.InputStream

// Signatures only: what the apps' platform layers use of Android, for a compiler without Android's SDK.

class Rect

class Bitmap {
    val height: Int get() = TODO()
    val width: Int get() = TODO()

    fun getPixels(pixels: IntArray, offset: Int, stride: Int, x: Int, y: Int, width: Int, height: Int): Unit =
        TODO()

    enum class Config { ARGB_8888 }

    companion object {
        fun createBitmap(colors: IntArray, width: Int, height: Int, config: Config): Bitmap = TODO()

        fun createScaledBitmap(src: Bitmap, dstWidth: Int, dstHeight: Int, filter: Boolean): Bitmap = TODO()
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

    fun decodeStream(stream: InputStream?, outPadding: Rect?, opts: Options?): Bitmap? = TODO()
}

object Color {
    const val TRANSPARENT: Int = 0

    fun red(color: Int): Int = TODO()

    fun green(color: Int): Int = TODO()

    fun blue(color: Int): Int = TODO()

    fun rgb(red: Int, green: Int, blue: Int): Int = TODO()

    fun argb(alpha: Int, red: Int, green: Int, blue: Int): Int = TODO()
}
