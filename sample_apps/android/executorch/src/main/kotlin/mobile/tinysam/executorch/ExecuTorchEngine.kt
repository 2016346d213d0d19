package mobile.tinysam.executorch

import mobile.tinysam.core.Contract
import mobile.tinysam.core.DecoderAnswer
import mobile.tinysam.core.EngineException
import mobile.tinysam.core.ImageEmbedding
import mobile.tinysam.core.Manifest
import mobile.tinysam.core.PackedPrompts
import mobile.tinysam.core.Preprocessed
import mobile.tinysam.core.SegmentationEngine
import mobile.tinysam.core.TensorSpec
import mobile.tinysam.core.directFloats
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
class ExecuTorchEngine private constructor(
    private val manifest: Manifest,
    private val encoder: Methods,
    private val decoder: Methods,
) : SegmentationEngine {
    private val noMask = FloatArray(manifest.sizes.maskSize * manifest.sizes.maskSize)

    override fun encode(image: Preprocessed): ImageEmbedding {
        val validSize = intArrayOf(image.geometry.validHeight, image.geometry.validWidth)
        val inputs = mapOf(Contract.IMAGE to image.image, Contract.VALID_SIZE to validSize)
        val values = encoder.run(Contract.ENCODE, inputs).single()
        return ImageEmbedding(directFloats(values))
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
        encoder.module.destroy()
        decoder.module.destroy()
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

    /** One file's methods, by the names that the contract gives them. */
    internal class Methods(
        private val manifest: Manifest,
        val module: Module,
        private val names: Map<String, String>,
    ) {
        /** Returns the values of each output. */
        fun run(entryPoint: String, inputs: Map<String, Any>): List<FloatArray> {
            val name = names[entryPoint] ?: throw EngineException("the model has no entry point $entryPoint")
            val signature = manifest.entryPoints.getValue(entryPoint)
            val arguments = signature.inputs.map { EValue.from(tensor(it, inputs.getValue(it.name))) }
            val outputs =
                try {
                    module.execute(name, *arguments.toTypedArray())
                } catch (error: RuntimeException) {
                    // ExecuTorch throws a RuntimeException for every error code of its runtime.
                    throw EngineException("ExecuTorch failed in $entryPoint: ${error.message}", error)
                }
            if (outputs.size != signature.outputs.size) {
                throw EngineException("$entryPoint gave ${outputs.size} tensors, not ${signature.outputs.size}")
            }
            return signature.outputs.mapIndexed { i, spec -> values(outputs[i].toTensor(), spec) }
        }

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
    }

    companion object {
        internal fun open(bundle: AppBundle, settings: ExecuTorch): ExecuTorchEngine {
            fun methods(component: String): Methods {
                val artifact = bundle.manifest.artifact(settings.runtime, component)
                val path = bundle.file(artifact).path
                try {
                    return Methods(
                        bundle.manifest,
                        Module.load(path, Module.LOAD_MODE_MMAP, settings.threads),
                        artifact.entryPoints,
                    )
                } catch (error: RuntimeException) {
                    throw EngineException("ExecuTorch cannot load ${artifact.path}: ${error.message}", error)
                }
            }
            val encoder = methods(ENCODER)
            try {
                return ExecuTorchEngine(bundle.manifest, encoder, methods(DECODER))
            } catch (error: EngineException) {
                encoder.module.destroy()
                throw error
            }
        }
    }
}
