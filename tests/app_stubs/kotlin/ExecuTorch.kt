@file:Suppress("unused")

package org.pytorch.executorch

import java.nio.FloatBuffer

class Module private constructor() {
    fun execute(methodName: String, vararg inputs: EValue): Array<EValue> = TODO()

    fun destroy(): Unit = TODO()

    companion object {
        const val LOAD_MODE_MMAP: Int = 1

        fun load(modelPath: String, loadMode: Int, numThreads: Int): Module = TODO()
    }
}

class EValue private constructor() {
    fun toTensor(): Tensor = TODO()

    companion object {
        fun from(value: Tensor): EValue = TODO()
    }
}

abstract class Tensor {
    abstract val dataAsFloatArray: FloatArray

    companion object {
        fun fromBlob(data: FloatBuffer, shape: LongArray): Tensor = TODO()

        fun fromBlob(data: FloatArray, shape: LongArray): Tensor = TODO()

        fun fromBlob(data: IntArray, shape: LongArray): Tensor = TODO()
    }
}
