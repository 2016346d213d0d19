package mobile.tinysam.core

import java.nio.Buffer
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer

/** A direct buffer of floats in the machine's byte order, which an engine reads in place. */
fun directFloats(count: Int): FloatBuffer =
    ByteBuffer.allocateDirect(count * Float.SIZE_BYTES).order(ByteOrder.nativeOrder()).asFloatBuffer()

/** A direct buffer that holds `values`. */
fun directFloats(values: FloatArray): FloatBuffer {
    val buffer = directFloats(values.size)
    buffer.put(values)
    buffer.moveTo(0)
    return buffer
}

/**
 * Sets the buffer's position.
 *
 * Through [Buffer] and not a subclass: from Java 9 on subclasses have methods of their own for this, which phones
 * before Android 9 lack.
 */
fun Buffer.moveTo(place: Int) {
    position(place)
}
