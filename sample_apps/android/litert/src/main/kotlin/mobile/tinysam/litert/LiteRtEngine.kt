package mobile.tinysam.litert

import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.Environment
import com.google.ai.edge.litert.LiteRtException
import com.google.ai.edge.litert.TensorBuffer
import mobile.tinysam.core.EngineException
import mobile.tinysam.core.EntryPoint
import mobile.tinysam.core.EntryPointEngine
import mobile.tinysam.core.Manifest
import mobile.tinysam.core.TensorSpec
import mobile.tinysam.core.moveTo
import mobile.tinysam.platform.AppBundle
import mobile.tinysam.platform.DECODER
import mobile.tinysam.platform.ENCODER
import java.nio.FloatBuffer

/**
 * The model on LiteRT 2: encoder and decoder in a file each, entry points are signatures, tensors are found by name.
 *
 * Each entry point has buffers of its own, used again by every call; what `encode` returned is written into the
 * decoder's once and not for each of a photo's prompts.
 */
class LiteRtEngine private constructor(
    manifest: Manifest,
    private val environment: Environment,
    private val files: List<Signatures>,
) : EntryPointEngine(manifest) {
    override fun has(entryPoint: String) = files.any { entryPoint in it.keys }

    override fun run(entryPoint: String, inputs: Map<String, Any>): Map<String, FloatArray> {
        val file =
            files.firstOrNull { entryPoint in it.keys }
                ?: throw EngineException("the model has no entry point $entryPoint")
        return file.run(entryPoint, manifest.entryPoints.getValue(entryPoint), inputsOf(entryPoint, inputs))
    }

    override fun close() {
        files.forEach { it.close() }
        environment.close()
    }

    companion object {
        internal fun open(bundle: AppBundle, environment: Environment, settings: LiteRt): LiteRtEngine {
            val encoder = Signatures.open(bundle, ENCODER, environment, settings)
            try {
                val decoder = Signatures.open(bundle, DECODER, environment, settings)
                return LiteRtEngine(bundle.manifest, environment, listOf(encoder, decoder))
            } catch (@Suppress("TooGenericExceptionCaught") error: Exception) {
                encoder.close()
                throw error
            }
        }
    }
}

/** One file's signatures; `keys` has the file's name for each entry point of the contract. */
internal class Signatures private constructor(private val model: CompiledModel, val keys: Map<String, String>) :
    AutoCloseable {
    private val buffers = HashMap<String, Buffers>()

    /** Inputs and outputs of one signature by name, and what was written into each last. */
    private class Buffers(val inputs: Map<String, TensorBuffer>, val outputs: Map<String, TensorBuffer>) {
        val written = HashMap<String, Any>()
    }

    /** Runs a signature and returns the values of each output. */
    fun run(entryPoint: String, signature: EntryPoint, inputs: Map<TensorSpec, Any>): Map<String, FloatArray> {
        val key = keys.getValue(entryPoint)
        try {
            val own = buffers.getOrPut(entryPoint) { buffersOf(signature, key) }
            for ((spec, values) in inputs) own.write(spec.name, values)
            model.run(own.inputs, own.outputs, key)
            return signature.outputs.associate { it.name to read(own.outputs.getValue(it.name), it) }
        } catch (error: LiteRtException) {
            throw EngineException("LiteRT failed in $entryPoint: ${error.message}", error)
        }
    }

    private fun buffersOf(signature: EntryPoint, key: String) = Buffers(
        signature.inputs.associate { it.name to model.createInputBuffer(it.name, key) },
        signature.outputs.associate { it.name to model.createOutputBuffer(it.name, key) },
    )

    /** LiteRT's buffers take arrays only; the same buffer of a photo's features is not written again. */
    private fun Buffers.write(name: String, values: Any) {
        val buffer = inputs.getValue(name)
        when (values) {
            is FloatArray -> buffer.writeFloat(values)
            is IntArray -> buffer.writeInt(values)
            is FloatBuffer -> if (written[name] !== values) buffer.writeFloat(values.copied())
            else -> error("$name is neither floats nor integers")
        }
        if (values is FloatBuffer) written[name] = values
    }

    private fun FloatBuffer.copied(): FloatArray {
        val source = duplicate()
        source.moveTo(0)
        return FloatArray(source.remaining()).also(source::get)
    }

    private fun read(buffer: TensorBuffer, spec: TensorSpec): FloatArray {
        val values = buffer.readFloat()
        // An accelerator may round the memory of a tensor up.
        if (values.size < spec.count) {
            throw EngineException("${spec.name} has ${values.size} values, the manifest says ${spec.shape}")
        }
        return if (values.size == spec.count) values else values.copyOf(spec.count)
    }

    override fun close() {
        for (own in buffers.values) (own.inputs.values + own.outputs.values).forEach { it.close() }
        buffers.clear()
        model.close()
    }

    companion object {
        fun open(bundle: AppBundle, component: String, environment: Environment, settings: LiteRt): Signatures {
            val artifact = bundle.manifest.artifact(settings.runtime, component)
            val options = settings.options(artifact, bundle.cache.path)
            val model = CompiledModel.create(
                bundle.context.assets,
                bundle.assetPath(artifact),
                options,
                environment,
            )
            return Signatures(model, artifact.entryPoints)
        }
    }
}
