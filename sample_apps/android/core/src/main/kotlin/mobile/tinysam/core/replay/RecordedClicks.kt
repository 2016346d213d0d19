package mobile.tinysam.core.replay

import mobile.tinysam.core.DecoderAnswer
import mobile.tinysam.core.EncodedPhoto
import mobile.tinysam.core.EverythingMode
import mobile.tinysam.core.EverythingSettings
import mobile.tinysam.core.Geometry
import mobile.tinysam.core.ImageFeatures
import mobile.tinysam.core.Manifest
import mobile.tinysam.core.PackedPrompts
import mobile.tinysam.core.Preprocessed
import mobile.tinysam.core.RecordingException
import mobile.tinysam.core.SegmentationEngine
import mobile.tinysam.core.json.JsonFields
import mobile.tinysam.core.readFastSearch
import java.nio.FloatBuffer

/**
 * An engine without a model for everything mode: it answers clicks from a recording, whatever the photo.
 *
 * `points` float32 (P, 2) in the S frame, of which `answers` (P) says which of the recorded `logits` (A, M, m, m)
 * they got, and `scores` float32 (P, M) with what predicted IoUs.  Rows of unused slots get zeros; a click that
 * was not recorded is a [RecordingException]: the app decoded what the host would not.  Scores that come first are
 * off by `scoreError`; without it the engine gives none.
 */
class RecordedClicks(
    private val manifest: Manifest,
    points: FloatArray,
    private val answers: IntArray,
    private val logits: FloatArray,
    private val scores: FloatArray,
    private val scoreError: Float? = null,
) : SegmentationEngine {
    private val places = answers.indices.associateBy { points[2 * it] to points[2 * it + 1] }
    private val masks = manifest.masksPerPrompt
    private val logitsPerPrompt = masks * manifest.sizes.maskSize * manifest.sizes.maskSize

    override fun encode(image: Preprocessed) = ImageFeatures.zeros(manifest.encoderOutputs)

    override fun decode(features: ImageFeatures, prompt: PackedPrompts, maskInput: FloatArray?): DecoderAnswer =
        decodeBatch(features, prompt)

    override fun decodeBatch(features: ImageFeatures, prompts: PackedPrompts): DecoderAnswer {
        val found = FloatArray(prompts.prompts * logitsPerPrompt)
        val foundScores = FloatArray(prompts.prompts * masks)
        for (row in 0 until prompts.prompts) {
            val slot = row * prompts.slots
            if (prompts.labels[slot] == manifest.labels.unused) continue
            val place = placeOf(prompts.coords[2 * slot], prompts.coords[2 * slot + 1])
            val source = answers[place] * logitsPerPrompt
            logits.copyInto(found, row * logitsPerPrompt, source, source + logitsPerPrompt)
            scores.copyInto(foundScores, row * masks, place * masks, (place + 1) * masks)
        }
        return DecoderAnswer(FloatBuffer.wrap(found), foundScores, masks, manifest.sizes.maskSize)
    }

    override val canScore: Boolean get() = scoreError != null

    override fun scoreBatch(features: ImageFeatures, prompts: PackedPrompts): FloatArray {
        val found = FloatArray(prompts.prompts * masks)
        for (row in 0 until prompts.prompts) {
            val slot = row * prompts.slots
            if (prompts.labels[slot] == manifest.labels.unused) continue
            val place = placeOf(prompts.coords[2 * slot], prompts.coords[2 * slot + 1])
            for (i in 0 until masks) found[row * masks + i] = scores[place * masks + i] + (scoreError ?: 0f)
        }
        return found
    }

    override fun close() = Unit

    private fun placeOf(x: Float, y: Float): Int =
        places[x to y] ?: throw RecordingException("the point $x,$y of the S frame was not recorded")
}

/** A case of `everything.json` (docs/app_fixtures.md): what is searched, how, and the recorded decoder. */
class EverythingCase(val photo: EncodedPhoto, val settings: EverythingSettings, val engine: RecordedClicks) {
    companion object {
        /** Reads a case and its files; throws [RecordingException] for a damaged one. */
        fun read(
            files: FileTree,
            fields: JsonFields,
            manifest: Manifest,
            scoring: Boolean = true,
        ): EverythingCase {
            val geometry = Geometry.of(
                fields.integer("height"),
                fields.integer("width"),
                manifest.sizes.imageSize,
                manifest.rules,
            )
            return EverythingCase(
                photo = EncodedPhoto(ImageFeatures.zeros(manifest.encoderOutputs), geometry),
                settings = readSettings(fields, manifest),
                engine =
                RecordedClicks(
                    manifest = manifest,
                    points = readFloatTensor(files, fields.fields("recorded_points")),
                    answers = fields.integers("answers"),
                    logits = readScaledLogits(files, fields),
                    scores = readFloatTensor(files, fields.fields("recorded_scores")),
                    scoreError = scoreError(fields).takeIf { scoring },
                ),
            )
        }

        /** Only the fast mode scores first. */
        private fun scoreError(case: JsonFields): Float? =
            if ("score_error" in case.keys) case.number("score_error").toFloat() else null

        private fun readSettings(case: JsonFields, manifest: Manifest): EverythingSettings {
            // Only cases of the fast mode have rules of it.
            val isFast = "rules" in case.keys
            return readThresholds(case.fields("settings"), manifest).copy(
                mode = if (isFast) EverythingMode.FAST else EverythingMode.EXACT,
                fast = if (isFast) readFastSearch(case.fields("rules")) else manifest.search.fast,
            )
        }

        private fun readThresholds(fields: JsonFields, manifest: Manifest) = EverythingSettings(
            hierarchical = fields.flag("hierarchical"),
            pointsPerSide = fields.integer("points_per_side"),
            predIouThresh = fields.number("pred_iou_thresh"),
            stabilityScoreThresh = fields.number("stability_score_thresh"),
            stabilityScoreOffset = fields.number("stability_score_offset"),
            highScoreThresh = fields.number("high_score_thresh"),
            boxNmsThresh = fields.number("box_nms_thresh"),
            cropNmsThresh =
            if (fields.isNull("crop_nms_thresh")) {
                manifest.search.cropNmsThresh
            } else {
                fields.number("crop_nms_thresh")
            },
            fast = manifest.search.fast,
            minRegionArea = fields.integer("min_region_area"),
            cropLayers = if ("crop_layers" in fields.keys) fields.integer("crop_layers") else 0,
            cropPointsDownscale = if ("crop_layers" in fields.keys) fields.integer("crop_points_downscale") else 1,
            maxDecoderCalls = fields.integerOrNull("max_decoder_calls"),
        )
    }
}

/** The recorded logits of a case, int8 times its scale. */
internal fun readScaledLogits(files: FileTree, fields: JsonFields): FloatArray {
    val steps = readByteTensor(files, fields.fields("logits"))
    val scale = fields.number("scale").toFloat()
    return FloatArray(steps.size) { steps[it] * scale }
}

/** A float32 tensor that JSON names by file and shape. */
fun readFloatTensor(files: FileTree, tensor: JsonFields): FloatArray {
    if (tensor.text("dtype") != "float32") tensor.wrong("dtype", "float32")
    return files.readFloats(tensor.text("file"), countOf(tensor))
}

/** A uint8 or int8 tensor that JSON names by file and shape. */
fun readByteTensor(files: FileTree, tensor: JsonFields): ByteArray {
    if (tensor.text("dtype") !in setOf("uint8", "int8")) tensor.wrong("dtype", "uint8 or int8")
    return files.readBytes(tensor.text("file"), countOf(tensor))
}

private fun countOf(tensor: JsonFields): Int = tensor.integers("shape").fold(1, Math::multiplyExact)
