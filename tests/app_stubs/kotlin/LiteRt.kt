@file:Suppress("unused", "UNUSED_PARAMETER")

package com.google.ai.edge.litert

import android.content.Context
import android.content.res.AssetManager
import mobile.tinysam.stubs.absent

// LiteRT 2.x as google-ai-edge/LiteRT declares it in litert/kotlin; sample_apps/API.md has the sources.

enum class Accelerator { NONE, CPU, GPU, NPU }

class LiteRtException(message: String) : Exception(message)

abstract class JniHandle : AutoCloseable {
    final override fun close(): Unit = absent()
}

class Environment private constructor() : JniHandle() {
    enum class Option { CompilerPluginLibraryDir, DispatchLibraryDir }

    companion object {
        fun create(
            context: Context,
            options: Map<Option, String> = mapOf(),
            enableCompilerCache: Boolean = true,
        ): Environment = absent()
    }
}

class TensorBuffer internal constructor() : JniHandle() {
    fun writeInt(data: IntArray): Unit = absent()

    fun writeFloat(data: FloatArray): Unit = absent()

    fun readFloat(): FloatArray = absent()
}

class CompiledModel private constructor() : JniHandle() {
    data class CpuOptions(
        val numThreads: Int? = null,
        val xnnPackFlags: Int? = null,
        val xnnPackWeightCachePath: String? = null,
    )

    data class GpuOptions(
        val constantTensorSharing: Boolean? = null,
        val infiniteFloatCapping: Boolean? = null,
        val allowSrcQuantizedFcConvOps: Boolean? = null,
        val precision: Precision? = null,
        val bufferStorageType: BufferStorageType? = null,
        val preferTextureWeights: Boolean? = null,
        val serializationDir: String? = null,
        val modelCacheKey: String? = null,
        val serializeProgramCache: Boolean? = null,
    ) {
        enum class Precision { DEFAULT, FP16, FP32 }

        enum class BufferStorageType { DEFAULT, BUFFER, TEXTURE_2D }
    }

    class Options(vararg accelerators: Accelerator) {
        var cpuOptions: CpuOptions? = null
        var gpuOptions: GpuOptions? = null
    }

    fun createInputBuffer(inputName: String, signature: String? = null): TensorBuffer = absent()

    fun createOutputBuffer(outputName: String, signature: String? = null): TensorBuffer = absent()

    fun run(
        inputs: Map<String, TensorBuffer>,
        outputs: Map<String, TensorBuffer>,
        signature: String? = null,
    ): Unit = absent()

    companion object {
        fun create(
            assetManager: AssetManager,
            assetName: String,
            options: Options = absent(),
            optionalEnv: Environment? = null,
        ): CompiledModel = absent()
    }
}
