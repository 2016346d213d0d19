package mobile.tinysam.core

/** How everything mode searches. */
enum class EverythingMode {
    /** The official generator's points, order and survivors. */
    EXACT,

    /**
     * Judges masks on their low-resolution logits, skips points beside which nothing was found, and takes only what
     * is left in the end to full size.
     */
    FAST,
}

/**
 * Thresholds and grid of everything mode; [of] takes them from the manifest.
 *
 * `highScoreThresh` (the paper's τ) and `stabilityScoreOffset` are mask logits; `minRegionArea` in pixels, 0 for
 * no cleaning.  `cropLayers` of Segment Anything's crops find small things in large photos: layer i has 2ⁱ x 2ⁱ of them,
 * each encoded on its own, with a grid that has `cropPointsDownscale` times fewer points along each side, to the power
 * of i; they belong to the flat grid and to a search that is given the photo.  `maxDecoderCalls` and `budgetMs` end the search early with what was found.
 */
data class EverythingSettings(
    val hierarchical: Boolean,
    val pointsPerSide: Int,
    val predIouThresh: Double,
    val stabilityScoreThresh: Double,
    val stabilityScoreOffset: Double,
    val highScoreThresh: Double,
    val boxNmsThresh: Double,
    val cropNmsThresh: Double,
    val fast: FastSearch,
    val mode: EverythingMode = EverythingMode.FAST,
    val minRegionArea: Int = 0,
    val cropLayers: Int = 0,
    val cropPointsDownscale: Int = 1,
    val maxDecoderCalls: Int? = null,
    val budgetMs: Double? = null,
) {
    companion object {
        fun of(manifest: Manifest, hierarchical: Boolean = true): EverythingSettings {
            val thresholds = manifest.everything
            return EverythingSettings(
                hierarchical = hierarchical,
                pointsPerSide = thresholds.pointsPerSide,
                predIouThresh = thresholds.predIouThresh,
                stabilityScoreThresh = thresholds.stabilityScoreThresh,
                stabilityScoreOffset = thresholds.stabilityScoreOffset,
                highScoreThresh = thresholds.highScoreThresh,
                boxNmsThresh = thresholds.boxNmsThresh,
                cropNmsThresh = manifest.search.cropNmsThresh,
                fast = manifest.search.fast,
            )
        }
    }
}
