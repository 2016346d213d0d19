@file:Suppress("unused")

package org.tensorflow.lite

import java.nio.ByteBuffer

interface Delegate : AutoCloseable

class Interpreter(byteBuffer: ByteBuffer, options: Options) : AutoCloseable {
    class Options {
        fun setNumThreads(numThreads: Int): Options = TODO()

        fun addDelegate(delegate: Delegate): Options = TODO()
    }

    fun runSignature(inputs: Map<String, Any>, outputs: Map<String, Any>, signatureKey: String): Unit = TODO()

    override fun close(): Unit = TODO()
}
