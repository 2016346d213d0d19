package mobile.tinysam.executorch

import mobile.tinysam.core.EngineException
import mobile.tinysam.core.EntryPointEngine
import mobile.tinysam.core.Manifest
import mobile.tinysam.core.TensorSpec
import mobile.tinysam.platform.AppBundle
import mobile.tinysam.platform.DECODER
import mobile.tinysam.platform.ENCODER
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor
import java.nio.FloatBuffer

/**
 * The model on ExecuTorch: encoder and decoder in a file each, entry points are methods.
 *
 * A .pte knows tensors by their position, so they go in the manifest's order.
 */
class ExecuTorchEngine private constructor(manifest: Manifest, private val files: List<Methods>) :
    EntryPointEngine(manifest) {
    override fun has(entryPoint: String) = files.any { entryPoint in it.names }

    override fun run(entryPoint: String, inputs: Map<String, Any>): Map<String, FloatArray> {
        val file =
            files.firstOrNull { entryPoint in it.names }
                ?: throw EngineException("the model has no entry point $entryPoint")
        val arguments = inputsOf(entryPoint, inputs).map { (spec, values) -> EValue.from(tensor(spec, values)) }
        val specs = manifest.entryPoints.getValue(entryPoint).outputs
        val outputs =
            try {
                file.module.execute(file.names.getValue(entryPoint), *arguments.toTypedArray())
            } catch (error: RuntimeException) {
                // ExecuTorch throws a RuntimeException for every error code of its runtime.
                throw EngineException("ExecuTorch failed in $entryPoint: ${error.message}", error)
            }
        if (outputs.size != specs.size) {
            throw EngineException("$entryPoint gave ${outputs.size} tensors, not ${specs.size}")
        }
        return specs.withIndex().associate { (i, spec) -> spec.name to values(outputs[i].toTensor(), spec) }
    }

    override fun close() = files.forEach { it.module.destroy() }

    private fun tensor(spec: TensorSpec, values: Any): Tensor {
        val shape = LongArray(spec.shape.size) { spec.shape[it].toLong() }
        return when (values) {
            is FloatBuffer -> Tensor.fromBlob(values, shape)
            is FloatArray -> Tensor.fromBlob(values, shape)
            is IntArray -> Tensor.fromBlob(values, shape)
            else -> error("${spec.name} is neither floats nor integers")
        }
    }

    private fun values(tensor: Tensor, spec: TensorSpec): FloatArray {
        val values = tensor.dataAsFloatArray
        if (values.size != spec.count) {
            throw EngineException("${spec.name} has ${values.size} values, the manifest says ${spec.shape}")
        }
        return values
    }

    /** One file's methods; `names` has the file's name for each entry point of the contract. */
    internal class Methods(val module: Module, val names: Map<String, String>)

    companion object {
        internal fun open(bundle: AppBundle, settings: ExecuTorch): ExecuTorchEngine {
            fun methods(component: String): Methods {
                val artifact = bundle.manifest.artifact(settings.runtime, component)
                val path = bundle.file(artifact).path
                try {
                    return Methods(
                        Module.load(path, Module.LOAD_MODE_MMAP, settings.threads),
                        artifact.entryPoints,
                    )
                } catch (error: RuntimeException) {
                    throw EngineException("ExecuTorch cannot load ${artifact.path}: ${error.message}", error)
                }
            }
            val encoder = methods(ENCODER)
            try {
                return ExecuTorchEngine(bundle.manifest, listOf(encoder, methods(DECODER)))
            } catch (error: EngineException) {
                encoder.module.destroy()
                throw error
            }
        }
    }
}
