@file:Suppress("unused")

package androidx.exifinterface.media

import java.io.InputStream
import mobile.tinysam.stubs.absent

class ExifInterface(inputStream: InputStream) {
    fun getAttributeInt(tag: String, defaultValue: Int): Int = absent()

    companion object {
        const val ORIENTATION_NORMAL: Int = 1
        const val TAG_ORIENTATION: String = "Orientation"
    }
}
