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

/** A mask that passed both thresholds: at full size as `runs`, or `waiting` for it, with a box right to about a pixel. */
internal data class Candidate(
    val runs: RunLengths?,
    val waiting: LogitWindow?,
    val box: Box,
    val score: Float,
    val stability: Float,
    val point: PhotoPoint,
    val maskIndex: Int,
) {
    /** Null for an empty mask and for one that waits. */
    fun objectOrNull(): SegmentedObject? =
        runs?.takeIf { it.area > 0 }?.let { SegmentedObject(it, box, score, stability, point, maskIndex) }
}

/** Box NMS by predicted IoU; of equal scores the earlier candidate stays. */
internal fun suppressed(found: List<Candidate>, iouThreshold: Double): List<Candidate> {
    val scores = FloatArray(found.size) { found[it].score }
    return suppressOverlaps(flatBoxes(found.map { it.box }), scores, iouThreshold.toFloat()).map { found[it] }
}

/**
 * Decides which masks of a point survive, and remembers what the survivors cover with a high score.
 *
 * `watched` are points of the photo, of which the pixel under them counts.
 */
internal abstract class CandidateJudge(
    private val upscaler: MaskUpscaler,
    private val settings: EverythingSettings,
    private val watched: List<PhotoPoint>,
) {
    private val covered = BooleanArray(watched.size)

    /** Whether a survivor covers watched point `index` with a logit above the high-score threshold. */
    fun isCovered(index: Int): Boolean = covered[index]

    /** The survivors among the masks of `point`, the answer's prompt number `row`. */
    fun survivors(answer: DecoderAnswer, row: Int, point: PhotoPoint): List<Candidate> {
        val scores = answer.scores(row)
        return scores.indices.mapNotNull { i ->
            if (scores[i] > settings.predIouThresh.toFloat()) {
                judge(answer.logits(row, i), scores[i], point, i)
            } else {
                null
            }
        }
    }

    /** A mask that passed the first threshold; null if it is not stable. */
    protected abstract fun judge(logits: FloatArray, score: Float, point: PhotoPoint, index: Int): Candidate?

    /** Drops duplicates if the candidates take too much memory to wait for the end. */
    abstract fun thin(found: List<Candidate>): List<Candidate>

    /** Box NMS, then full-size masks and boxes of what is left; empty masks are dropped. */
    abstract fun finish(found: List<Candidate>): List<SegmentedObject>

    protected fun cover(logits: FloatArray) {
        val high = settings.highScoreThresh.toFloat()
        if (logits.none { it > high }) return
        watched.forEachIndexed { i, point ->
            covered[i] = covered[i] || upscaler.logitAt(logits, point.x.toInt(), point.y.toInt()) > high
        }
    }
}

/**
 * Judges at full size in the official order: predicted IoU, then stability over the whole photo, then what the
 * survivors cover.
 *
 * A mask that passes the first threshold is taken to full size row by row, and only where it can be above a cut:
 * no mask or logits of full size are held, whatever the photo.
 */
internal class ExactJudge(
    private val upscaler: MaskUpscaler,
    private val geometry: Geometry,
    private val settings: EverythingSettings,
    maskThreshold: Double,
    watched: List<PhotoPoint>,
) : CandidateJudge(upscaler, settings, watched) {
    private val threshold = maskThreshold.toFloat()
    private val cuts = StabilityCuts(maskThreshold, settings.stabilityScoreOffset)
    private val lowestCut = minOf(threshold, cuts.outer, cuts.inner)

    override fun thin(found: List<Candidate>) = found

    override fun finish(found: List<Candidate>) =
        suppressed(found, settings.boxNmsThresh).mapNotNull { it.objectOrNull() }

    override fun judge(logits: FloatArray, score: Float, point: PhotoPoint, index: Int): Candidate? {
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
        return Candidate(runs, null, runs.box, score, stability, point, index)
    }

    private companion object {
        val EMPTY_WINDOW = PixelWindow(0 until 0, 0 until 0)
    }
}
