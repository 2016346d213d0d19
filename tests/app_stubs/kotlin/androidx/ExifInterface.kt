@file:Suppress("unused")

package androidx.exifinterface.media

import java.io.InputStream

class ExifInterface(inputStream: InputStream) {
    fun getAttributeInt(tag: String, defaultValue: Int): Int = TODO()

    companion object {
        const val ORIENTATION_NORMAL: Int = 1
        const val TAG_ORIENTATION: String = "Orientation"
    }
}
