package mobile.tinysam.core

/** A photo as the decoder sees it, and where it lies in the S frame; keep it to prompt the photo again. */
class EncodedPhoto(val features: ImageFeatures, val geometry: Geometry)

/**
 * The answer to one prompt: of each mask the low-resolution logits (m, m) and the predicted IoU.
 *
 * `logits[best]` can go back into [Predictor.predict] as the mask prompt.
 */
class Prediction(
    val logits: List<FloatArray>,
    val scores: FloatArray,
    private val upscaler: MaskUpscaler,
    rules: Rules = Rules.SAM,
) {
    /** Index of the mask to show. */
    val best: Int = bestOf(selectionScores(logits, scores, rules))

    /** A mask in pixels of the photo, made at each call; `inside` is its value there, such as [Mask.OPAQUE]. */
    fun mask(index: Int = best, inside: Byte = Mask.INSIDE): Mask = upscaler.mask(logits[index], inside)
}

/** What decides which mask of a prompt is shown: `scores` are the predicted IoUs of the masks `logits` (m, m). */
internal fun selectionScores(logits: List<FloatArray>, scores: FloatArray, rules: Rules): FloatArray =
    when (rules.selection) {
        Selection.PREDICTED_IOU -> scores

        Selection.STABILITY -> FloatArray(logits.size) {
            stabilityScore(logits[it], threshold = 0.0, offset = 1.0)
        }
    }

/**
 * Index of the highest score, the first of equal ones.
 *
 * A score that is not a number wins, as it does on the host, so that a broken model is seen and not hidden.
 */
fun bestOf(scores: FloatArray): Int {
    val broken = scores.indexOfFirst { it.isNaN() }
    return if (broken >= 0) broken else scores.indices.maxBy { scores[it] }
}

/** Masks for prompts: a photo is encoded once, then each prompt is a quick decode. */
class Predictor(val engine: SegmentationEngine, val manifest: Manifest) {
    private val sizes = manifest.sizes

    /** Resizes with `resizer` and encodes. */
    fun encode(photo: RgbRows, resizer: PhotoResizer? = null): EncodedPhoto =
        encode(preprocess(photo, manifest, resizer))

    /** Throws [EngineException] if the engine gives other features than the manifest says. */
    fun encode(image: Preprocessed): EncodedPhoto {
        val features = engine.encode(image)
        features.requireAll(manifest.encoderOutputs)
        return EncodedPhoto(features, image.geometry)
    }

    /** The upscaler of a photo's masks; making one costs more than a mask of a small photo, so keep it. */
    fun upscaler(geometry: Geometry): MaskUpscaler =
        MaskUpscaler(geometry, sizes.maskSize, manifest.maskThreshold.toFloat())

    /**
     * The masks of one prompt; `maskInput` (m, m) are low-resolution logits of an earlier prediction.
     *
     * Throws [PromptException] for a prompt that is empty, outside the photo or too large for the model's slots,
     * and for a mask prompt of another size or that is not finite.
     */
    fun predict(
        photo: EncodedPhoto,
        prompt: Prompt,
        maskInput: FloatArray? = null,
        upscaler: MaskUpscaler = upscaler(photo.geometry),
    ): Prediction {
        prompt.requireContent(hasMaskInput = maskInput != null)
        maskInput?.let(::requireMaskInput)
        val packed = packPrompts(listOf(prompt), photo.geometry, manifest.labels, sizes.slots, batch = 1)
        return predictionOf(engine.decode(photo.features, packed, maskInput), upscaler)
    }

    /** The decoder's answers to at most the manifest's `batch` clicks on the object, x, y in the photo. */
    fun decodeClicks(photo: EncodedPhoto, clicks: List<PromptPoint>): DecoderAnswer =
        decodePrompts(photo, clicks.map { Prompt(listOf(it)) })

    /** The decoder's answers to at most the manifest's `batch` prompts, none of them empty. */
    fun decodePrompts(photo: EncodedPhoto, prompts: List<Prompt>): DecoderAnswer {
        prompts.forEach { it.requireContent(hasMaskInput = false) }
        val packed = packPrompts(prompts, photo.geometry, manifest.labels, sizes.slots, sizes.batch)
        return engine.decodeBatch(photo.features, packed)
    }

    /** Whether [scoreClicks] works with this model. */
    val canScore: Boolean get() = manifest.scoreSlots != null && engine.canScore

    /** The predicted IoUs (M,) of at most the manifest's `scoreBatch` clicks, without masks: a fraction of the cost. */
    fun scoreClicks(photo: EncodedPhoto, clicks: List<PromptPoint>): List<FloatArray> {
        val slots = manifest.scoreSlots ?: throw EngineException("the model has no ${Contract.SCORE_BATCH}")
        val prompts = clicks.map { Prompt(listOf(it)) }
        val packed = packPrompts(prompts, photo.geometry, manifest.labels, slots, sizes.scoreBatch)
        val scores = engine.scoreBatch(photo.features, packed)
        val masks = manifest.masksPerPrompt
        if (scores.size != sizes.scoreBatch * masks) {
            throw EngineException(
                "${Contract.SCORE_BATCH} gave ${scores.size} scores, the manifest says otherwise",
            )
        }
        return clicks.indices.map { scores.copyOfRange(it * masks, (it + 1) * masks) }
    }

    private fun predictionOf(answer: DecoderAnswer, upscaler: MaskUpscaler): Prediction {
        val logits = List(answer.masksPerPrompt) { answer.logits(prompt = 0, mask = it) }
        return Prediction(logits, answer.scores(prompt = 0), upscaler, manifest.rules)
    }

    private fun requireMaskInput(logits: FloatArray) {
        val side = sizes.maskSize
        if (!manifest.rules.maskPrompts) {
            throw PromptException(
                PromptFault.MASK_INPUT,
                "this model was never trained with mask prompts: give points or a box",
            )
        }
        if (logits.size != side * side || !logits.all { it.isFinite() }) {
            throw PromptException(
                PromptFault.MASK_INPUT,
                "a mask prompt is $side x $side finite logits of an earlier answer, not ${logits.size} numbers " +
                    "or with NaN or infinity among them",
            )
        }
    }
}
