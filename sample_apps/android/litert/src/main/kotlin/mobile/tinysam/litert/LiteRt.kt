package mobile.tinysam.litert

import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.Environment
import com.google.ai.edge.litert.LiteRtException
import mobile.tinysam.core.Artifact
import mobile.tinysam.core.EngineException
import mobile.tinysam.core.SegmentationEngine
import mobile.tinysam.platform.AppBundle
import mobile.tinysam.platform.EngineFactory

/** More threads are slower on phones, which have few fast cores. */
const val DEFAULT_THREADS = 4

/**
 * LiteRT on the CPU, the GPU or the NPU.
 *
 * `threads` are the CPU's.  The GPU computes in float16 unless `isGpuExact`: twice as fast, and masks differ by
 * pixels.  The NPU needs its maker's libraries in the app.
 */
class LiteRt(
    val accelerator: Accelerator = Accelerator.CPU,
    val threads: Int = DEFAULT_THREADS,
    val isGpuExact: Boolean = false,
) : EngineFactory {
    override val runtime: String get() = "tflite"

    override val runtimeVersion: String get() = BuildConfig.RUNTIME_VERSION

    override fun computeUnit(artifact: Artifact): String = when (accelerator) {
        Accelerator.GPU -> if (isGpuExact) "gpu, float32" else "gpu, float16"
        else -> accelerator.name.lowercase()
    }

    override fun open(bundle: AppBundle): SegmentationEngine {
        try {
            val environment = Environment.create(bundle.context)
            try {
                return LiteRtEngine.open(bundle, environment, this)
            } catch (@Suppress("TooGenericExceptionCaught") error: Exception) {
                environment.close()
                throw error
            }
        } catch (error: LiteRtException) {
            throw EngineException("LiteRT ${accelerator.name} refuses the model: ${error.message}", error)
        }
    }

    /**
     * One accelerator only: with a second one LiteRT falls back to it silently.  Programs for the GPU are compiled at
     * the first start and kept in `cache` by the artifact's hash, weights of the CPU likewise.
     */
    internal fun options(artifact: Artifact, cache: String): CompiledModel.Options {
        val options = CompiledModel.Options(accelerator)
        if (accelerator == Accelerator.CPU) {
            options.cpuOptions =
                CompiledModel.CpuOptions(
                    numThreads = threads,
                    xnnPackWeightCachePath = "$cache/${artifact.sha256}.xnnpack",
                )
        }
        if (accelerator == Accelerator.GPU) {
            options.gpuOptions =
                CompiledModel.GpuOptions(
                    precision =
                    if (isGpuExact) {
                        CompiledModel.GpuOptions.Precision.FP32
                    } else {
                        CompiledModel.GpuOptions.Precision.FP16
                    },
                    serializationDir = cache,
                    modelCacheKey = artifact.sha256,
                    serializeProgramCache = true,
                )
        }
        return options
    }
}
