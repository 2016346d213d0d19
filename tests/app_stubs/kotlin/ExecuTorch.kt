@file:Suppress("unused")

package org.pytorch.executorch

import java.nio.FloatBuffer
import mobile.tinysam.stubs.absent

class Module private constructor() {
    fun execute(methodName: String, vararg inputs: EValue): Array<EValue> = absent()

    fun destroy(): Unit = absent()

    companion object {
        const val LOAD_MODE_MMAP: Int = 1

        fun load(modelPath: String, loadMode: Int, numThreads: Int): Module = absent()
    }
}

class EValue private constructor() {
    fun toTensor(): Tensor = absent()

    companion object {
        fun from(value: Tensor): EValue = absent()
    }
}

abstract class Tensor {
    abstract val dataAsFloatArray: FloatArray

    companion object {
        fun fromBlob(data: FloatBuffer, shape: LongArray): Tensor = absent()

        fun fromBlob(data: FloatArray, shape: LongArray): Tensor = absent()

        fun fromBlob(data: IntArray, shape: LongArray): Tensor = absent()
    }
}
