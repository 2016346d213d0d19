package mobile.tinysam.litert

import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.Environment
import com.google.ai.edge.litert.LiteRtException
import com.google.ai.edge.litert.TensorBuffer
import mobile.tinysam.core.Contract
import mobile.tinysam.core.DecoderAnswer
import mobile.tinysam.core.EngineException
import mobile.tinysam.core.EntryPoint
import mobile.tinysam.core.ImageEmbedding
import mobile.tinysam.core.Manifest
import mobile.tinysam.core.PackedPrompts
import mobile.tinysam.core.Preprocessed
import mobile.tinysam.core.SegmentationEngine
import mobile.tinysam.core.TensorSpec
import mobile.tinysam.core.directFloats
import mobile.tinysam.core.moveTo
import mobile.tinysam.platform.AppBundle
import mobile.tinysam.platform.DECODER
import mobile.tinysam.platform.ENCODER
import java.nio.FloatBuffer

/**
 * The model on LiteRT 2: encoder and decoder in a file each, entry points are signatures, tensors are found by name.
 *
 * Each entry point has buffers of its own, used again by every call; an embedding is written into the decoder's once
 * and not for each of a photo's prompts.
 */
class LiteRtEngine private constructor(
    private val manifest: Manifest,
    private val environment: Environment,
    private val encoder: Signatures,
    private val decoder: Signatures,
) : SegmentationEngine {
    private val noMask = FloatArray(manifest.sizes.maskSize * manifest.sizes.maskSize)

    override fun encode(image: Preprocessed): ImageEmbedding {
        val validSize = intArrayOf(image.geometry.validHeight, image.geometry.validWidth)
        val inputs = mapOf(Contract.IMAGE to image.image, Contract.VALID_SIZE to validSize)
        return ImageEmbedding(directFloats(encoder.run(Contract.ENCODE, inputs).single()))
    }

    override fun decode(embedding: ImageEmbedding, prompt: PackedPrompts, maskInput: FloatArray?): DecoderAnswer {
        val mask =
            mapOf(
                Contract.MASK_INPUT to (maskInput ?: noMask),
                Contract.HAS_MASK_INPUT to floatArrayOf(if (maskInput == null) 0f else 1f),
            )
        return answer(Contract.DECODE, inputs(embedding, prompt) + mask)
    }

    override fun decodeBatch(embedding: ImageEmbedding, prompts: PackedPrompts): DecoderAnswer =
        answer(Contract.DECODE_BATCH, inputs(embedding, prompts))

    override fun close() {
        encoder.close()
        decoder.close()
        environment.close()
    }

    private fun inputs(embedding: ImageEmbedding, prompts: PackedPrompts): Map<String, Any> = mapOf(
        Contract.IMAGE_EMBEDDINGS to embedding.values,
        Contract.POINT_COORDS to prompts.coords,
        Contract.POINT_LABELS to prompts.labels,
    )

    private fun answer(entryPoint: String, inputs: Map<String, Any>): DecoderAnswer {
        val (logits, scores) = decoder.run(entryPoint, inputs)
        return DecoderAnswer(FloatBuffer.wrap(logits), scores, manifest.masksPerPrompt, manifest.sizes.maskSize)
    }

    companion object {
        internal fun open(bundle: AppBundle, environment: Environment, settings: LiteRt): LiteRtEngine {
            val encoder = Signatures.open(bundle, ENCODER, environment, settings)
            try {
                val decoder = Signatures.open(bundle, DECODER, environment, settings)
                return LiteRtEngine(bundle.manifest, environment, encoder, decoder)
            } catch (@Suppress("TooGenericExceptionCaught") error: Exception) {
                encoder.close()
                throw error
            }
        }
    }
}

/** One file's signatures, by the names that the contract gives them. */
internal class Signatures private constructor(
    private val model: CompiledModel,
    private val manifest: Manifest,
    private val keys: Map<String, String>,
) : AutoCloseable {
    private val buffers = HashMap<String, Buffers>()

    /** Inputs and outputs of one signature by name, and the embedding that was written last. */
    private class Buffers(val inputs: Map<String, TensorBuffer>, val outputs: Map<String, TensorBuffer>) {
        var embedding: Any? = null
    }

    /** Runs a signature and returns the values of each output, in the contract's order. */
    fun run(entryPoint: String, inputs: Map<String, Any>): List<FloatArray> {
        val key = keys[entryPoint] ?: throw EngineException("the model has no entry point $entryPoint")
        val signature = manifest.entryPoints.getValue(entryPoint)
        try {
            val own = buffers.getOrPut(entryPoint) { buffersOf(signature, key) }
            for ((name, values) in inputs) own.write(name, values)
            model.run(own.inputs, own.outputs, key)
            return signature.outputs.map { read(own.outputs.getValue(it.name), it) }
        } catch (error: LiteRtException) {
            throw EngineException("LiteRT failed in $entryPoint: ${error.message}", error)
        }
    }

    private fun buffersOf(signature: EntryPoint, key: String) = Buffers(
        signature.inputs.associate { it.name to model.createInputBuffer(it.name, key) },
        signature.outputs.associate { it.name to model.createOutputBuffer(it.name, key) },
    )

    /** LiteRT's buffers take arrays only; an embedding that is there already is not written again. */
    private fun Buffers.write(name: String, values: Any) {
        val buffer = inputs.getValue(name)
        if (values === embedding) return
        when (values) {
            is FloatArray -> buffer.writeFloat(values)
            is IntArray -> buffer.writeInt(values)
            is FloatBuffer -> buffer.writeFloat(values.copied())
            else -> error("$name is neither floats nor integers")
        }
        if (name == Contract.IMAGE_EMBEDDINGS) embedding = values
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
        fun open(
            bundle: AppBundle,
            component: String,
            environment: Environment,
            settings: LiteRt,
        ): Signatures {
            val artifact = bundle.manifest.artifact(settings.runtime, component)
            val options = settings.options(artifact, bundle.cache.path)
            val model = CompiledModel.create(bundle.context.assets, bundle.assetPath(artifact), options, environment)
            return Signatures(model, bundle.manifest, artifact.entryPoints)
        }
    }
}
