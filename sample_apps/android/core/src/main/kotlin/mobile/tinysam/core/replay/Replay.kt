package mobile.tinysam.core.replay

import mobile.tinysam.core.DecoderAnswer
import mobile.tinysam.core.EncodedPhoto
import mobile.tinysam.core.ImageFeatures
import mobile.tinysam.core.MaskUpscaler
import mobile.tinysam.core.PackedPrompts
import mobile.tinysam.core.Predictor
import mobile.tinysam.core.RGB_CHANNELS
import mobile.tinysam.core.RecordingException
import mobile.tinysam.core.bestOf
import mobile.tinysam.core.packPrompts
import mobile.tinysam.core.preprocess
import mobile.tinysam.core.selectionScores

/**
 * Replays fixtures with the code that the app uses for its users, and keeps what every step gave.
 *
 * Each step works on the app's own output of the step before.  Prompts with a mask prompt and the first one
 * without go through `decode`, the others through `decode_batch`, so that both entry points are run.
 */
class Replay(private val predictor: Predictor, private val fixtures: FixtureSet, private val dump: DumpWriter) {
    val latencies = Latencies()
    private val manifest = predictor.manifest
    private val sizes = manifest.sizes

    /** Runs all photos; throws [RecordingException] if the fixtures are of a model of other sizes. */
    fun run(progress: (done: Int, total: Int) -> Unit = { _, _ -> }) {
        if (fixtures.sizes != sizes) {
            throw RecordingException("the fixtures belong to a model of ${fixtures.sizes}, the app's has $sizes")
        }
        warmUp()
        fixtures.photos.forEachIndexed { i, photo ->
            replay(photo)
            progress(i + 1, fixtures.photos.size)
        }
    }

    /** Each entry point once: the first call of a model is slow, and no user's. */
    private fun warmUp() {
        val photo = fixtures.photos.firstOrNull { it.prompts.isNotEmpty() } ?: return
        val encoded = predictor.encode(fixtures.pixels(photo))
        val prompt = photo.prompts.first()
        val mask = fixtures.maskInput(prompt)
        predictor.engine.decode(encoded.features, pack(prompt, encoded), mask)
        if (mask == null) predictor.engine.decodeBatch(encoded.features, batchOf(listOf(pack(prompt, encoded))))
    }

    private fun replay(photo: FixturePhoto) {
        val pixels = fixtures.pixels(photo)
        val image = latencies.measure("preprocess") { preprocess(pixels, manifest) }
        val side = sizes.imageSize
        dump.writeFloats("${photo.name}/preprocessed_image", listOf(RGB_CHANNELS, side, side), image.image)
        val encoded = latencies.measure("encode") { predictor.encode(image) }
        val outputs = manifest.encoderOutputs
        val features = encoded.features.joined(outputs)
        dump.writeFloats("${photo.name}/embedding", ImageFeatures.joinedShape(outputs), features)
        val upscaler = predictor.upscaler(encoded.geometry)
        val (single, batched) = throughBothEntryPoints(photo.prompts)
        for (prompt in single) {
            val packed = pack(prompt, encoded)
            val mask = fixtures.maskInput(prompt)
            val answer = latencies.measure("decode") { predictor.engine.decode(encoded.features, packed, mask) }
            record(prompt, packed, answer, row = 0, upscaler)
        }
        for (prompts in batched.chunked(sizes.batch)) {
            val packed = prompts.map { pack(it, encoded) }
            val batch = batchOf(packed)
            val answer =
                latencies.measure("decode_batch") { predictor.engine.decodeBatch(encoded.features, batch) }
            prompts.forEachIndexed { row, prompt -> record(prompt, packed[row], answer, row, upscaler) }
        }
    }

    private fun throughBothEntryPoints(
        prompts: List<FixturePrompt>,
    ): Pair<List<FixturePrompt>, List<FixturePrompt>> {
        val batched = prompts.filterNot { it.hasMaskInput }.drop(1)
        return prompts - batched.toSet() to batched
    }

    private fun record(
        prompt: FixturePrompt,
        packed: PackedPrompts,
        answer: DecoderAnswer,
        row: Int,
        upscaler: MaskUpscaler,
    ) {
        val scores = answer.scores(row)
        val masks = List(answer.masksPerPrompt) { answer.logits(row, it) }
        val best = bestOf(selectionScores(masks, scores, manifest.rules))
        val mask = latencies.measure("postprocess") { upscaler.mask(masks[best]) }
        val side = sizes.maskSize
        val logits = FloatArray(answer.masksPerPrompt * side * side)
        masks.forEachIndexed { i, mask -> mask.copyInto(logits, i * side * side) }
        dump.writeFloats("${prompt.name}/packed_prompt", listOf(sizes.slots, SLOT_NUMBERS), slotRows(packed))
        dump.writeFloats("${prompt.name}/low_res_logits", listOf(answer.masksPerPrompt, side, side), logits)
        dump.writeFloats("${prompt.name}/predicted_iou", listOf(scores.size), scores)
        dump.writeInteger("${prompt.name}/chosen_mask", best)
        dump.writeBytes("${prompt.name}/full_size_mask", listOf(mask.height, mask.width), mask.pixels)
    }

    private fun pack(prompt: FixturePrompt, photo: EncodedPhoto): PackedPrompts {
        val packed = packPrompts(listOf(prompt.prompt), photo.geometry, manifest.labels, sizes.slots, batch = 1)
        packed.labels.forEachIndexed { slot, label ->
            if (label == manifest.labels.unused) {
                packed.coords[2 * slot] = prompt.spareXy
                packed.coords[2 * slot + 1] = prompt.spareXy
            }
        }
        return packed
    }

    /** Packed prompts in the rows of one batch; the rows that are left over are unused slots. */
    private fun batchOf(rows: List<PackedPrompts>): PackedPrompts {
        val count = sizes.batch * sizes.slots
        val batch = PackedPrompts(sizes.batch, sizes.slots, FloatArray(2 * count), IntArray(count))
        batch.labels.fill(manifest.labels.unused)
        rows.forEachIndexed { row, packed ->
            packed.coords.copyInto(batch.coords, 2 * row * sizes.slots)
            packed.labels.copyInto(batch.labels, row * sizes.slots)
        }
        return batch
    }
}

/** x, y and label of a slot. */
internal const val SLOT_NUMBERS = 3

/** The slots of one packed prompt as float32 (N, 3), flat: x, y in the S frame and label. */
internal fun slotRows(packed: PackedPrompts, row: Int = 0): FloatArray =
    FloatArray(packed.slots * SLOT_NUMBERS) { i ->
        val slot = row * packed.slots + i / SLOT_NUMBERS
        val part = i % SLOT_NUMBERS
        if (part == 2) packed.labels[slot].toFloat() else packed.coords[2 * slot + part]
    }
