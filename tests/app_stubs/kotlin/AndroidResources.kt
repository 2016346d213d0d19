@file:Suppress("unused")

package android.content.res

import java.io.Closeable
import java.io.FileInputStream
import java.io.InputStream
import mobile.tinysam.stubs.absent

class AssetManager {
    fun open(fileName: String): InputStream = absent()

    fun openFd(fileName: String): AssetFileDescriptor = absent()

    fun list(path: String): Array<String>? = absent()
}

class AssetFileDescriptor : Closeable {
    val startOffset: Long get() = absent()
    val declaredLength: Long get() = absent()

    fun createInputStream(): FileInputStream = absent()

    override fun close(): Unit = absent()
}
