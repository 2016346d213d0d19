package mobile.tinysam.core

/** Names of the entry points and tensors, the same in every format; their sizes are in the manifest. */
object Contract {
    const val ENCODE = "encode"
    const val DECODE = "decode"
    const val DECODE_BATCH = "decode_batch"

    /** Scores without masks, which some artifacts cannot give. */
    const val SCORE_BATCH = "score_batch"
    const val IMAGE = "image"
    const val VALID_SIZE = "valid_size"
    const val IMAGE_EMBEDDINGS = "image_embeddings"
    const val POINT_COORDS = "point_coords"
    const val POINT_LABELS = "point_labels"
    const val MASK_INPUT = "mask_input"
    const val HAS_MASK_INPUT = "has_mask_input"
    const val LOW_RES_MASKS = "low_res_masks"
    const val IOU_PREDICTIONS = "iou_predictions"
}

/**
 * A bundle's `manifest.json`: all numbers of the method.  [parseManifest] reads it.
 *
 * `padValue` fills the S frame beyond the photo; `maskThreshold` is a logit; `rules` are those of the
 * model's family; `runtimes` has the release of each runtime that judged the files on the host, by `artifacts[].runtime`.
 */
data class Manifest(
    val sizes: ModelSizes,
    val rules: Rules,
    val padValue: Float,
    val maskThreshold: Double,
    val labels: PromptLabels,
    val everything: EverythingThresholds,
    val search: EverythingSearch,
    val checkpointSha256: String?,
    val entryPoints: Map<String, EntryPoint>,
    val artifacts: List<Artifact>,
    val runtimes: Map<String, String>,
) {
    val masksPerPrompt: Int get() = rules.numMasks

    /** Slots of a prompt of `score_batch`, fewer than N; null where the model has none. */
    val scoreSlots: Int?
        get() = entryPoints[Contract.SCORE_BATCH]?.inputs?.first {
            it.name == Contract.POINT_COORDS
        }?.shape?.get(1)

    /** What `encode` returns, in order: all that decoding needs of the image. */
    val encoderOutputs: List<TensorSpec> get() = entryPoints.getValue(Contract.ENCODE).outputs

    /** The artifact of a runtime for a component; throws [ManifestException] that lists what there is. */
    fun artifact(runtime: String, component: String): Artifact =
        artifacts.firstOrNull { it.runtime == runtime && it.component == component }
            ?: throw ManifestException(
                "manifest.json has no $component for $runtime, only " +
                    artifacts.joinToString { "${it.runtime} ${it.component}" }.ifEmpty { "no artifacts at all" } +
                    ": put one there with tinysam-mobile bundle-for-app",
            )
}

/**
 * The sizes of one converted model.
 *
 * `imageSize` S and `maskSize` m in pixels, `gridSize` in embedding cells, `channels` C of the embedding, `slots`
 * N per prompt, `batch` K prompts of one `decode_batch` call, `scoreBatch` those of one `score_batch` call.
 */
data class ModelSizes(
    val imageSize: Int,
    val gridSize: Int,
    val maskSize: Int,
    val channels: Int,
    val slots: Int,
    val batch: Int,
    val scoreBatch: Int,
)

/** What the label of a prompt's slot says. */
data class PromptLabels(
    val unused: Int,
    val pad: Int,
    val background: Int,
    val foreground: Int,
    val boxTopLeft: Int,
    val boxBottomRight: Int,
)

/** The checkpoint's own thresholds of everything mode; see [EverythingSettings]. */
data class EverythingThresholds(
    val pointsPerSide: Int,
    val predIouThresh: Double,
    val stabilityScoreThresh: Double,
    val stabilityScoreOffset: Double,
    val highScoreThresh: Double,
    val boxNmsThresh: Double,
)

/**
 * How everything mode searches: round 1 uses every `coarseFactor`-th point of the grid, round 2 goes around them
 * by `offsets` (x, y of each), and `cropNmsThresh` belongs to the NMS after small regions are cleaned, and to
 * that over crops.  Crops of the first layer overlap by `cropOverlapRatio` of the photo's short side; a box no farther
 * than `cropEdgePixels` from a crop's edge, and farther from the photo's, is taken to be cut.
 */
data class EverythingSearch(
    val coarseFactor: Int,
    val offsets: List<Pair<Int, Int>>,
    val cropNmsThresh: Double,
    val cropOverlapRatio: Double,
    val cropEdgePixels: Int,
    val fast: FastSearch,
)

/**
 * What the fast mode may leave out; the host's `segment/everything.py` says why each is as it is.
 *
 * A point of the second round's chessboard is decoded if a neighbour's best predicted IoU lacks at most
 * `nearIouSlack`; where scores come first, a point is decoded if its best one lacks at most `scoreSlack`, and the
 * decoder's decides.  `windowMarginCells` are kept around a mask that waits for its full size; beyond `maxWaitingBytes`
 * of them near-duplicates go early, above `duplicateIous` one after the other.  Rough boxes decide over an overlap
 * only `boxMargin` away from the threshold, and a rough stability is measured again if it is nearer than
 * `stabilityMarginCells` over √cells.
 */
data class FastSearch(
    val nearIouSlack: Double,
    val scoreSlack: Double,
    val windowMarginCells: Int,
    val maxWaitingBytes: Long,
    val duplicateIous: List<Double>,
    val boxMargin: Double,
    val stabilityMarginCells: Double,
)

/** An entry point's tensors, in the order in which a .pte takes and returns them. */
data class EntryPoint(val inputs: List<TensorSpec>, val outputs: List<TensorSpec>)

/** One tensor; `dtype` is a numpy name (float32 or int32). */
data class TensorSpec(val name: String, val shape: List<Int>, val dtype: String) {
    val count: Int get() = shape.fold(1, Math::multiplyExact)
}

/**
 * One converted file; `path` is relative to the bundle, with forward slashes.  `entryPoints` maps the contract's
 * names to those inside the file.  `backend` is what a .pte was lowered to.
 */
data class Artifact(
    val runtime: String,
    val recipe: String,
    val component: String,
    val path: String,
    val entryPoints: Map<String, String>,
    val sha256: String,
    val sizeBytes: Long,
    val backend: String? = null,
) {
    /** The file's name for an entry point of the contract; throws [ManifestException] if it has none. */
    fun entryPoint(name: String): String =
        entryPoints[name] ?: throw ManifestException("$path has no entry point $name: convert the bundle again")
}
