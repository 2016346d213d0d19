package mobile.tinysam.core

/** Why a search ended. */
enum class SearchEnd { COMPLETE, BUDGET, CANCELLED }

/** How far a search is: `decoded` of the `total` points of this `round` (1 or 2). */
data class SearchProgress(val round: Int, val decoded: Int, val total: Int, val found: Int)

/** Objects by falling score, and what they cost; `visited` are the points that were decoded, in order. */
class EverythingResult(
    val objects: List<SegmentedObject>,
    val visited: List<PhotoPoint>,
    val decoderCalls: Int,
    val end: SearchEnd,
)

/**
 * Finds every object of a photo: flat (Segment Anything, section 3) or hierarchical (TinySAM, section 3.4), with
 * the host's `mode="exact"`, that is the official generator's points, order and survivors.
 *
 * `progress` is called after each decoder call, `isCancelled` asked before it; a search that is cancelled or out
 * of budget returns what it found so far.
 */
class EverythingGenerator(
    private val predictor: Predictor,
    private val settings: EverythingSettings,
    private val progress: (SearchProgress) -> Unit = {},
    private val isCancelled: () -> Boolean = { false },
) {
    init {
        val least = if (settings.hierarchical) predictor.manifest.search.coarseFactor else 1
        if (settings.pointsPerSide < least) {
            throw SettingsException("pointsPerSide must be at least $least, not ${settings.pointsPerSide}")
        }
    }

    fun generate(photo: EncodedPhoto): EverythingResult {
        val search = Search(photo)
        val found = if (settings.hierarchical) search.hierarchical() else search.flat()
        val apart = suppressed(found, scores(found), settings.boxNmsThresh).filter { it.runs.area > 0 }
        val cleaned = if (settings.minRegionArea > 0) clean(apart) else apart
        return EverythingResult(
            objects = byFallingScore(scores(cleaned)).map { cleaned[it] },
            visited = search.visited,
            decoderCalls = search.decoderCalls,
            end = search.end,
        )
    }

    /** One run over one photo: what was visited, what it cost, why it ended. */
    private inner class Search(private val photo: EncodedPhoto) {
        val visited = ArrayList<PhotoPoint>()
        var decoderCalls = 0
        var end = SearchEnd.COMPLETE
        private val started = System.nanoTime()
        private val upscaler = predictor.upscaler(photo.geometry)
        private val lattice = PointLattice(photo.geometry.height, photo.geometry.width)

        /** Survivors of round 2 come first in ties. */
        fun hierarchical(): List<SegmentedObject> {
            val search = predictor.manifest.search
            val judge = judge(lattice.secondRound(settings.pointsPerSide, search))
            val first = decode(judge, lattice.coarse(settings.pointsPerSide, search), round = 1)
            return decode(judge, judge.uncovered(), round = 2) + first
        }

        fun flat(): List<SegmentedObject> =
            decode(judge(emptyList()), lattice.grid(settings.pointsPerSide), round = 1)

        private fun judge(watched: List<PhotoPoint>) =
            CandidateJudge(upscaler, photo.geometry, settings, predictor.manifest.maskThreshold, watched)

        private fun decode(judge: CandidateJudge, points: List<PhotoPoint>, round: Int): List<SegmentedObject> {
            val found = ArrayList<SegmentedObject>()
            var decoded = 0
            for (batch in points.chunked(predictor.manifest.sizes.batch)) {
                if (mustStop()) break
                val answer = predictor.decodeClicks(photo, batch.map { PromptPoint(it.x, it.y) })
                decoderCalls++
                visited += batch
                batch.forEachIndexed { row, point -> found += judge.survivors(answer, row, point) }
                decoded += batch.size
                progress(SearchProgress(round, decoded, points.size, found.size))
            }
            return found
        }

        private fun mustStop(): Boolean {
            val elapsedMs = (System.nanoTime() - started) / NANOSECONDS_PER_MS
            when {
                isCancelled() -> end = SearchEnd.CANCELLED
                settings.maxDecoderCalls?.let { decoderCalls >= it } == true -> end = SearchEnd.BUDGET
                settings.budgetMs?.let { elapsedMs >= it } == true -> end = SearchEnd.BUDGET
            }
            return end != SearchEnd.COMPLETE
        }
    }

    /** Fills small holes and drops small islands, then NMS that prefers masks which needed neither. */
    private fun clean(objects: List<SegmentedObject>): List<SegmentedObject> {
        val priorities = FloatArray(objects.size)
        val cleaned = objects.mapIndexed { i, found ->
            val filled = removeSmallRegions(found.runs.decode(), settings.minRegionArea, RegionKind.HOLES)
            val dropped = removeSmallRegions(filled.mask, settings.minRegionArea, RegionKind.ISLANDS)
            val changed = filled.changed || dropped.changed
            priorities[i] = if (changed) 0f else 1f
            if (changed) found.of(RunLengths.encode(dropped.mask)) else found
        }
        return suppressed(cleaned, priorities, maxOf(settings.boxNmsThresh, settings.cropNmsThresh))
    }

    private fun SegmentedObject.of(runs: RunLengths) = copy(runs = runs, box = runs.box)

    private fun suppressed(
        objects: List<SegmentedObject>,
        scores: FloatArray,
        threshold: Double,
    ): List<SegmentedObject> =
        suppressOverlaps(flatBoxes(objects.map { it.box }), scores, threshold.toFloat()).map { objects[it] }

    private fun scores(objects: List<SegmentedObject>) = FloatArray(objects.size) { objects[it].score }
}

private const val NANOSECONDS_PER_MS = 1e6
