@file:Suppress("unused")

package android.content.res

import java.io.Closeable
import java.io.FileInputStream
import java.io.InputStream

class AssetManager {
    fun open(fileName: String): InputStream = TODO()

    fun openFd(fileName: String): AssetFileDescriptor = TODO()

    fun list(path: String): Array<String>? = TODO()
}

class AssetFileDescriptor : Closeable {
    val startOffset: Long get() = TODO()
    val declaredLength: Long get() = TODO()

    fun createInputStream(): FileInputStream = TODO()

    override fun close(): Unit = TODO()
}
