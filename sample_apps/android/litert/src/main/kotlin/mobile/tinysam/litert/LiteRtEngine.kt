package mobile.tinysam.platform

import mobile.tinysam.core.Contract
import mobile.tinysam.core.DecoderAnswer
import mobile.tinysam.core.EngineException
import mobile.tinysam.core.ImageEmbedding
import mobile.tinysam.core.Manifest
import mobile.tinysam.core.PackedPrompts
import mobile.tinysam.core.Preprocessed
import mobile.tinysam.core.SegmentationEngine
import mobile.tinysam.core.directFloats
import mobile.tinysam.core.moveTo
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.gpu.CompatibilityList
import org.tensorflow.lite.gpu.GpuDelegate
import java.nio.Buffer
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.IntBuffer

/**
 * The model on LiteRT: encoder and decoder in a file each, entry points are signatures.
 *
 * All tensors are direct buffers in the machine's byte order that LiteRT reads and writes itself.
 */
class LiteRtEngine private constructor(
    private val manifest: Manifest,
    private val encoder: Signatures,
    private val decoder: Signatures,
) : SegmentationEngine {
    private val single = DecoderBuffers(Contract.DECODE)
    private val batch = DecoderBuffers(Contract.DECODE_BATCH)
    private val validSize = directInts(2)
    private val maskInput = directFloats(manifest.sizes.maskSize * manifest.sizes.maskSize)
    private val hasMaskInput = directFloats(1)

    override fun encode(image: Preprocessed): ImageEmbedding {
        val spec = manifest.entryPoints.getValue(Contract.ENCODE).outputs[0]
        val embeddings = directFloats(spec.count)
        validSize.put(0, image.geometry.validHeight).put(1, image.geometry.validWidth)
        encoder.run(
            Contract.ENCODE,
            mapOf(Contract.IMAGE to image.image, Contract.VALID_SIZE to validSize),
            mapOf(Contract.IMAGE_EMBEDDINGS to embeddings),
        )
        return ImageEmbedding(embeddings)
    }

    override fun decode(embedding: ImageEmbedding, prompt: PackedPrompts, maskInput: FloatArray?): DecoderAnswer {
        this.maskInput.moveTo(0)
        if (maskInput != null) this.maskInput.put(maskInput)
        hasMaskInput.put(0, if (maskInput == null) 0f else 1f)
        val mask = mapOf(Contract.MASK_INPUT to this.maskInput, Contract.HAS_MASK_INPUT to hasMaskInput)
        return single.run(embedding, prompt, mask)
    }

    override fun decodeBatch(embedding: ImageEmbedding, prompts: PackedPrompts): DecoderAnswer =
        batch.run(embedding, prompts, emptyMap())

    override fun close() {
        encoder.close()
        decoder.close()
    }

    /** The buffers of one entry point of the decoder, used again by every call. */
    private inner class DecoderBuffers(private val entryPoint: String) {
        private val prompts = manifest.entryPoints.getValue(entryPoint).outputs[0].shape[0]
        private val coords = directFloats(prompts * manifest.sizes.slots * 2)
        private val labels = directInts(prompts * manifest.sizes.slots)
        private val logits = directFloats(manifest.entryPoints.getValue(entryPoint).outputs[0].count)
        private val scores = directFloats(manifest.entryPoints.getValue(entryPoint).outputs[1].count)

        fun run(embedding: ImageEmbedding, packed: PackedPrompts, mask: Map<String, Buffer>): DecoderAnswer {
            coords.moveTo(0)
            coords.put(packed.coords)
            labels.moveTo(0)
            labels.put(packed.labels)
            val inputs =
                mapOf<String, Buffer>(
                    Contract.IMAGE_EMBEDDINGS to embedding.values,
                    Contract.POINT_COORDS to coords,
                    Contract.POINT_LABELS to labels,
                )
            val outputs = mapOf(Contract.LOW_RES_MASKS to logits, Contract.IOU_PREDICTIONS to scores)
            decoder.run(entryPoint, inputs + mask, outputs)
            val predictedIou = FloatArray(scores.capacity()).also(scores::get)
            return DecoderAnswer(logits, predictedIou, manifest.masksPerPrompt, manifest.sizes.maskSize)
        }
    }

    companion object {
        private const val RUNTIME = "tflite"

        internal fun open(bundle: AppBundle, onGpu: Boolean, threads: Int): LiteRtEngine {
            if (onGpu && !CompatibilityList().use { it.isDelegateSupportedOnThisDevice }) {
                throw EngineException("LiteRT does not support this phone's GPU: choose the CPU")
            }
            val encoder = Signatures.open(bundle, ENCODER, onGpu, threads)
            try {
                return LiteRtEngine(bundle.manifest, encoder, Signatures.open(bundle, DECODER, onGpu, threads))
            } catch (error: EngineException) {
                encoder.close()
                throw error
            }
        }
    }

    /** One file's signatures, by the names that the contract gives them. */
    internal class Signatures private constructor(
        private val interpreter: Interpreter,
        private val delegate: GpuDelegate?,
        private val keys: Map<String, String>,
    ) {
        /** Runs a signature; buffers are read from their start and stand there again afterwards. */
        fun run(entryPoint: String, inputs: Map<String, Buffer>, outputs: Map<String, Buffer>) {
            val key = keys[entryPoint] ?: throw EngineException("the model has no entry point $entryPoint")
            (inputs.values + outputs.values).forEach { it.moveTo(0) }
            try {
                interpreter.runSignature(inputs, outputs, key)
            } catch (error: IllegalArgumentException) {
                throw EngineException(
                    "LiteRT refuses $entryPoint: ${error.message}; convert the bundle again",
                    error,
                )
            } catch (error: IllegalStateException) {
                throw EngineException("LiteRT failed in $entryPoint: ${error.message}", error)
            }
            (inputs.values + outputs.values).forEach { it.moveTo(0) }
        }

        fun close() {
            interpreter.close()
            delegate?.close()
        }

        companion object {
            fun open(bundle: AppBundle, component: String, onGpu: Boolean, threads: Int): Signatures {
                val artifact = bundle.manifest.artifact(RUNTIME, component)
                val delegate = if (onGpu) GpuDelegate() else null
                val options = Interpreter.Options().setNumThreads(threads)
                delegate?.let(options::addDelegate)
                try {
                    return Signatures(Interpreter(bundle.map(artifact), options), delegate, artifact.entryPoints)
                } catch (error: IllegalArgumentException) {
                    delegate?.close()
                    throw EngineException("LiteRT cannot load ${artifact.path}: ${error.message}", error)
                }
            }
        }
    }
}

private fun directInts(count: Int): IntBuffer =
    ByteBuffer.allocateDirect(count * Int.SIZE_BYTES).order(ByteOrder.nativeOrder()).asIntBuffer()
