package mobile.tinysam.core

import java.io.Closeable
import java.nio.FloatBuffer

/**
 * The model's entry points, on any runtime.  Calls block; one at a time.
 *
 * Throws [EngineException] if the runtime fails or answers with other shapes.
 */
interface SegmentationEngine : Closeable {
    fun encode(image: Preprocessed): ImageFeatures

    /** One prompt; `maskInput` float32 (m, m) are logits of an earlier answer, or null for no mask prompt. */
    fun decode(features: ImageFeatures, prompt: PackedPrompts, maskInput: FloatArray?): DecoderAnswer

    /** The manifest's `batch` prompts of one photo. */
    fun decodeBatch(features: ImageFeatures, prompts: PackedPrompts): DecoderAnswer

    /** Whether the model has `score_batch`; some artifacts have not. */
    val canScore: Boolean get() = false

    /** The predicted IoU float32 (K', M) of the manifest's `scoreBatch` prompts, whose masks are not made. */
    fun scoreBatch(features: ImageFeatures, prompts: PackedPrompts): FloatArray =
        throw EngineException("the model has no ${Contract.SCORE_BATCH}")
}

/**
 * What the decoder returned: `logits` float32 (K, M, m, m) and `scores` float32 (K, M), the IoU that the model
 * predicts for each of a prompt's M masks.
 *
 * The engine writes its next answer into the same buffers: take what is to stay.
 */
class DecoderAnswer(
    private val logits: FloatBuffer,
    private val scores: FloatArray,
    val masksPerPrompt: Int,
    private val maskSize: Int,
) {
    /** The low-resolution logits (m, m) of one mask. */
    fun logits(prompt: Int, mask: Int): FloatArray {
        val values = FloatArray(maskSize * maskSize)
        val source = logits.duplicate()
        source.moveTo((prompt * masksPerPrompt + mask) * values.size)
        source.get(values)
        return values
    }

    /** The predicted IoU (M,) of a prompt's masks. */
    fun scores(prompt: Int): FloatArray =
        scores.copyOfRange(prompt * masksPerPrompt, (prompt + 1) * masksPerPrompt)
}
