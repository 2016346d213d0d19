package mobile.tinysam.core

/**
 * The thresholds of the exact judge, as far as possible on the low-resolution logits.
 *
 * Only what comes near to a threshold, and what is left in the end, is taken to full size, and of that only the
 * window around the mask.
 */
internal class FastJudge(
    private val upscaler: MaskUpscaler,
    private val extent: LowResolutionExtent,
    private val settings: EverythingSettings,
    maskThreshold: Double,
    watched: List<PhotoPoint>,
) : CandidateJudge(upscaler, settings, watched) {
    private val rules = settings.fast
    private val threshold = maskThreshold.toFloat()
    private val cuts = StabilityCuts(maskThreshold, settings.stabilityScoreOffset)

    override fun judge(logits: FloatArray, score: Float, point: PhotoPoint, index: Int): Candidate? {
        val stability = stability(logits)
        // Not `<`: a threshold or a score that is not a number lets nothing through.
        if (!(stability >= settings.stabilityScoreThresh.toFloat())) return null
        cover(logits)
        val window = LogitWindow.of(logits, extent.side, rules.windowMarginCells, threshold)
        return Candidate(null, window, extent.roughBox(logits, threshold), score, stability, point, index)
    }

    override fun thin(found: List<Candidate>): List<Candidate> {
        var left = found
        for (iou in rules.duplicateIous) {
            if (left.sumOf { it.waiting?.bytes?.toLong() ?: 0 } <= rules.maxWaitingBytes) break
            left = suppressed(left, iou)
        }
        return left
    }

    /** As an NMS of full-size boxes, of which only those are made that decide. */
    override fun finish(found: List<Candidate>): List<SegmentedObject> {
        val surely = (settings.boxNmsThresh + rules.boxMargin).toFloat()
        val perhaps = (settings.boxNmsThresh - rules.boxMargin).toFloat()
        val kept = ArrayList<Candidate>()
        for (i in byFallingScore(FloatArray(found.size) { found[it].score })) {
            var candidate = found[i]
            val overlaps = kept.map { iouOf(candidate.box, it.box) }
            if (overlaps.any { it > surely }) continue
            val unsure = overlaps.indices.filter { overlaps[it] > perhaps }
            if (unsure.isNotEmpty()) candidate = fullSize(candidate)
            for (place in unsure) kept[place] = fullSize(kept[place])
            if (unsure.none { iouOf(candidate.box, kept[it].box) > settings.boxNmsThresh.toFloat() }) {
                kept +=
                    candidate
            }
        }
        return kept.mapNotNull { fullSize(it).objectOrNull() }
    }

    /** At full size where that may decide. */
    private fun stability(logits: FloatArray): Float {
        val outer = extent.countAbove(logits, cuts.outer)
        val rough = stabilityScore(extent.countAbove(logits, cuts.inner), outer)
        val margin = rules.stabilityMarginCells / Math.sqrt(maxOf(outer, 1).toDouble())
        if (Math.abs(rough - settings.stabilityScoreThresh.toFloat()) > margin) return rough
        var (inner, outerPixels) = intArrayOf(0, 0)
        upscaler.windowAbove(logits, cuts.outer)?.let { window ->
            upscaler.forEachRow(logits, window) { _, row ->
                inner += countAbove(row, cuts.inner)
                outerPixels += countAbove(row, cuts.outer)
            }
        }
        return stabilityScore(inner, outerPixels)
    }

    private fun fullSize(candidate: Candidate): Candidate {
        val window = candidate.waiting ?: return candidate
        val runs = upscaler.runLengths(window.whole(outside = threshold - 1))
        return candidate.copy(runs = runs, waiting = null, box = runs.box)
    }
}
