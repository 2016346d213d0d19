package mobile.tinysam.core.replay

import mobile.tinysam.core.DecoderAnswer
import mobile.tinysam.core.ImageFeatures
import mobile.tinysam.core.Manifest
import mobile.tinysam.core.PackedPrompts
import mobile.tinysam.core.Preprocessed
import mobile.tinysam.core.RGB_CHANNELS
import mobile.tinysam.core.RecordingException
import mobile.tinysam.core.SegmentationEngine
import mobile.tinysam.core.moveTo
import java.nio.FloatBuffer
import java.util.IdentityHashMap

/**
 * An engine without a model: it answers what the fixtures' float model answered.
 *
 * It knows a photo by its preprocessed pixels and a prompt by its slots and mask prompt, and throws
 * [RecordingException] for any other, so a replay on it also proves preprocessing and packing.
 */
class RecordedEngine(private val fixtures: FixtureSet, private val manifest: Manifest) : SegmentationEngine {
    private val sizes = manifest.sizes
    private val encoded = IdentityHashMap<ImageFeatures, FixturePhoto>()

    override fun encode(image: Preprocessed): ImageFeatures {
        val count = RGB_CHANNELS * sizes.imageSize * sizes.imageSize
        val photo =
            fixtures.photos.firstOrNull {
                FloatBuffer.wrap(fixtures.expected(it.name, "preprocessed_image", count)) == image.image
            } ?: throw RecordingException("the recording has no photo with these preprocessed pixels")
        val outputs = manifest.encoderOutputs
        val joined = fixtures.expected(photo.name, "embedding", outputs.sumOf { it.count })
        return ImageFeatures.split(joined, outputs).also { encoded[it] = photo }
    }

    override fun decode(features: ImageFeatures, prompt: PackedPrompts, maskInput: FloatArray?): DecoderAnswer =
        answers(features, prompt, maskInput)

    override fun decodeBatch(features: ImageFeatures, prompts: PackedPrompts): DecoderAnswer =
        answers(features, prompts, maskInput = null)

    override fun close() = encoded.clear()

    private fun answers(features: ImageFeatures, prompts: PackedPrompts, maskInput: FloatArray?): DecoderAnswer {
        val photo = encoded[features] ?: throw RecordingException("the recording has no such features")
        val masks = manifest.masksPerPrompt
        val logitsPerPrompt = masks * sizes.maskSize * sizes.maskSize
        val logits = FloatBuffer.allocate(prompts.prompts * logitsPerPrompt)
        val scores = FloatArray(prompts.prompts * masks)
        for (row in 0 until prompts.prompts) {
            val slots = slotRows(prompts, row)
            if (isUnused(slots)) continue
            val name = find(photo, slots, maskInput)
            logits.moveTo(row * logitsPerPrompt)
            logits.put(fixtures.expected(name, "low_res_logits", logitsPerPrompt))
            fixtures.expected(name, "predicted_iou", masks).copyInto(scores, row * masks)
        }
        return DecoderAnswer(logits, scores, masks, sizes.maskSize)
    }

    private fun isUnused(slots: FloatArray): Boolean =
        slots.indices.all { it % SLOT_NUMBERS != 2 || slots[it] == manifest.labels.unused.toFloat() }

    private fun find(photo: FixturePhoto, slots: FloatArray, maskInput: FloatArray?): String {
        val prompt =
            photo.prompts.firstOrNull {
                fixtures.expected(it.name, "packed_prompt", slots.size).contentEquals(slots) &&
                    sameMask(fixtures.maskInput(it), maskInput)
            } ?: throw RecordingException("${photo.name} has no recorded prompt with the slots ${slots.toList()}")
        return prompt.name
    }

    private fun sameMask(recorded: FloatArray?, given: FloatArray?): Boolean =
        if (recorded == null || given == null) recorded === given else recorded.contentEquals(given)
}
