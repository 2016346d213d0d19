package mobile.tinysam.core

/**
 * One mask of the photo; `box` has both ends inside, `point` is the click that found it, both in pixels of the
 * photo; `score` is the predicted IoU.
 */
data class SegmentedObject(
    val runs: RunLengths,
    val box: Box,
    val score: Float,
    val stability: Float,
    val point: PhotoPoint,
    val maskIndex: Int,
)

/**
 * Decides which masks of a point survive, in the official order: predicted IoU, then stability over the whole
 * photo, then what the survivors cover with a high score.
 *
 * A mask that passes the first threshold is taken to full size row by row, and only where it can be above a cut:
 * no mask or logits of full size are held, whatever the photo.
 */
internal class CandidateJudge(
    private val upscaler: MaskUpscaler,
    private val geometry: Geometry,
    private val settings: EverythingSettings,
    maskThreshold: Double,
    private val watched: List<PhotoPoint>,
) {
    private val threshold = maskThreshold.toFloat()
    private val cuts = StabilityCuts(maskThreshold, settings.stabilityScoreOffset)
    private val lowestCut = minOf(threshold, cuts.outer, cuts.inner)
    private val covered = BooleanArray(watched.size)

    /** The watched points whose pixel no survivor covers with a logit above the high-score threshold. */
    fun uncovered(): List<PhotoPoint> = watched.filterIndexed { i, _ -> !covered[i] }

    /** The survivors among the masks of `point`, the answer's prompt number `row`. */
    fun survivors(answer: DecoderAnswer, row: Int, point: PhotoPoint): List<SegmentedObject> {
        val scores = answer.scores(row)
        return scores.indices.mapNotNull { i ->
            if (scores[i] > settings.predIouThresh.toFloat()) {
                judge(answer.logits(row, i), scores[i], point, i)
            } else {
                null
            }
        }
    }

    private fun judge(logits: FloatArray, score: Float, point: PhotoPoint, index: Int): SegmentedObject? {
        val window = upscaler.windowAbove(logits, lowestCut) ?: EMPTY_WINDOW
        val builder = RunLengthBuilder(
            geometry.height,
            geometry.width,
            window.columns.first,
            window.columns.last + 1,
        )
        var inner = 0
        var outer = 0
        if (!window.rows.isEmpty()) {
            val bits = ByteArray(window.width)
            upscaler.forEachRow(logits, window) { y, row ->
                inner += countAbove(row, cuts.inner)
                outer += countAbove(row, cuts.outer)
                markAbove(row, threshold, bits, start = 0)
                builder.addRow(y, bits, start = 0)
            }
        }
        val stability = stabilityScore(inner, outer)
        // Not `<`: a threshold or a score that is not a number lets nothing through.
        if (!(stability >= settings.stabilityScoreThresh.toFloat())) return null
        cover(logits)
        val runs = builder.build(window.rows.last + 1)
        return SegmentedObject(runs, runs.box, score, stability, point, index)
    }

    private fun cover(logits: FloatArray) {
        val high = settings.highScoreThresh.toFloat()
        if (logits.none { it > high }) return
        watched.forEachIndexed { i, point ->
            covered[i] = covered[i] || upscaler.logitAt(logits, point.x.toInt(), point.y.toInt()) > high
        }
    }

    private companion object {
        val EMPTY_WINDOW = PixelWindow(0 until 0, 0 until 0)
    }
}
