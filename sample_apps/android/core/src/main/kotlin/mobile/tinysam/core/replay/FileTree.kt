package mobile.tinysam.core.replay

import mobile.tinysam.core.RecordingException
import java.io.File
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** A folder of files by relative path with forward slashes: on disk, or in an app's assets. */
fun interface FileTree {
    /** The whole file; throws [RecordingException] if it cannot be read. */
    fun read(path: String): ByteArray
}

/** A folder on disk. */
fun filesIn(folder: File) = FileTree { path ->
    try {
        File(folder, path).readBytes()
    } catch (error: IOException) {
        throw RecordingException("${File(folder, path)} cannot be read: ${error.message}")
    }
}

/** The text of a file in UTF-8. */
fun FileTree.readText(path: String): String = read(path).decodeToString()

/** A file of exactly `count` bytes, uint8 or int8; throws [RecordingException] for another length. */
fun FileTree.readBytes(path: String, count: Int): ByteArray = readExactly(path, count)

/** A file of exactly `count` little-endian float32; throws [RecordingException] for another length. */
fun FileTree.readFloats(path: String, count: Int): FloatArray {
    val data = readExactly(path, Math.multiplyExact(count, Float.SIZE_BYTES))
    val floats = FloatArray(count)
    ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(floats)
    return floats
}

private fun FileTree.readExactly(path: String, bytes: Int): ByteArray {
    val data = read(path)
    if (data.size != bytes) {
        throw RecordingException("$path has ${data.size} bytes, but its shape takes $bytes: copy it again")
    }
    return data
}
