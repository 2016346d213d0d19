package mobile.tinysam.core

import java.nio.FloatBuffer

/**
 * A runtime that runs a model's entry points by the contract's names: [run] is all that an engine need bring with it.
 *
 * What `encode` returned is handed on by name, however much it is; the entry point's signature picks and orders.
 */
abstract class EntryPointEngine(protected val manifest: Manifest) : SegmentationEngine {
    private val noMask = FloatArray(manifest.sizes.maskSize * manifest.sizes.maskSize)

    /**
     * The outputs that the manifest lists for an entry point, by name.  `inputs` are a FloatBuffer, FloatArray or
     * IntArray each; more may be given than the entry point takes, and [inputsOf] picks what it does.
     */
    protected abstract fun run(entryPoint: String, inputs: Map<String, Any>): Map<String, FloatArray>

    /** Whether the model's files have an entry point. */
    protected abstract fun has(entryPoint: String): Boolean

    override fun encode(image: Preprocessed): ImageFeatures {
        val validSize = intArrayOf(image.geometry.validHeight, image.geometry.validWidth)
        val outputs = run(Contract.ENCODE, mapOf(Contract.IMAGE to image.image, Contract.VALID_SIZE to validSize))
        return ImageFeatures(outputs.mapValues { directFloats(it.value) })
    }

    override fun decode(features: ImageFeatures, prompt: PackedPrompts, maskInput: FloatArray?): DecoderAnswer {
        val mask =
            mapOf(
                Contract.MASK_INPUT to (maskInput ?: noMask),
                Contract.HAS_MASK_INPUT to floatArrayOf(if (maskInput == null) 0f else 1f),
            )
        return answer(run(Contract.DECODE, inputs(features, prompt) + mask))
    }

    override fun decodeBatch(features: ImageFeatures, prompts: PackedPrompts): DecoderAnswer =
        answer(run(Contract.DECODE_BATCH, inputs(features, prompts)))

    override val canScore: Boolean get() = has(Contract.SCORE_BATCH)

    override fun scoreBatch(features: ImageFeatures, prompts: PackedPrompts): FloatArray =
        run(Contract.SCORE_BATCH, inputs(features, prompts)).getValue(Contract.IOU_PREDICTIONS)

    /** What goes into an entry point, by name in its order; throws [EngineException] if an input is not given. */
    protected fun inputsOf(entryPoint: String, inputs: Map<String, Any>): Map<TensorSpec, Any> =
        manifest.entryPoints.getValue(entryPoint).inputs.associateWith {
            inputs[it.name] ?: throw EngineException("${it.name} was not given, which $entryPoint takes")
        }

    private fun inputs(features: ImageFeatures, prompts: PackedPrompts): Map<String, Any> = features.values +
        mapOf(Contract.POINT_COORDS to prompts.coords, Contract.POINT_LABELS to prompts.labels)

    private fun answer(outputs: Map<String, FloatArray>) = DecoderAnswer(
        FloatBuffer.wrap(outputs.getValue(Contract.LOW_RES_MASKS)),
        outputs.getValue(Contract.IOU_PREDICTIONS),
        manifest.masksPerPrompt,
        manifest.sizes.maskSize,
    )
}
