package mobile.tinysam.core.replay

import mobile.tinysam.core.EncodedPhoto
import mobile.tinysam.core.Geometry
import mobile.tinysam.core.ImageFeatures
import mobile.tinysam.core.Manifest
import mobile.tinysam.core.Predictor
import mobile.tinysam.core.PromptBox
import mobile.tinysam.core.SegmentedObject
import mobile.tinysam.core.json.JsonFields
import mobile.tinysam.core.objectsFromBoxes

/** A case of `from_boxes.json` (docs/app_fixtures.md): boxes on a photo, and the recorded decoder. */
class FromBoxesCase private constructor(
    private val predictor: Predictor,
    private val photo: EncodedPhoto,
    private val boxes: List<PromptBox>,
) {
    /** What this library finds in the boxes. */
    fun found(): List<SegmentedObject> = objectsFromBoxes(predictor, photo, boxes)

    companion object {
        private const val NUMBERS = 4

        /** Reads a case and its files; throws [mobile.tinysam.core.RecordingException] for a damaged one. */
        fun read(files: FileTree, fields: JsonFields, manifest: Manifest): FromBoxesCase {
            val size = manifest.sizes.imageSize
            val geometry = Geometry.of(fields.integer("height"), fields.integer("width"), size, manifest.rules)
            val boxes = fields.numbers("boxes").toList().chunked(NUMBERS) { PromptBox(it[0], it[1], it[2], it[3]) }
            return FromBoxesCase(
                predictor = Predictor(engine(files, fields, manifest), manifest),
                photo = EncodedPhoto(ImageFeatures.zeros(manifest.encoderOutputs), geometry),
                boxes = boxes,
            )
        }

        private fun engine(files: FileTree, fields: JsonFields, manifest: Manifest): RecordedClicks {
            val corners = fields.numbers("recorded_boxes")
            return RecordedClicks(
                manifest = manifest,
                // Slot 0 of a box is its top left.
                points = FloatArray(corners.size / 2) { corners[it / 2 * NUMBERS + it % 2].toFloat() },
                answers = fields.integers("answers"),
                logits = readScaledLogits(files, fields),
                scores = fields.numbers("recorded_scores").map { it.toFloat() }.toFloatArray(),
            )
        }
    }
}
