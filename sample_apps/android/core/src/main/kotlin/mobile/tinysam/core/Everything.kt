package mobile.tinysam.core

/** Why a search ended. */
enum class SearchEnd { COMPLETE, BUDGET, CANCELLED }

/** How far a search is: `decoded` of the `total` points of this `round` (1 or 2). */
data class SearchProgress(val round: Int, val decoded: Int, val total: Int, val found: Int)

/**
 * Objects by falling score, and what they cost; `visited` are the points that were scored or decoded, in order,
 * `decoderCalls` the calls that make masks and `scoreCalls` those that do not.
 */
class EverythingResult(
    val objects: List<SegmentedObject>,
    val visited: List<PhotoPoint>,
    val decoderCalls: Int,
    val scoreCalls: Int,
    val end: SearchEnd,
)

/**
 * Finds every object of a photo: flat (Segment Anything, section 3) or hierarchical (TinySAM, section 3.4), with
 * the points, order and survivors of the host's `segment/everything.py` in the same mode.
 *
 * `progress` is called after each decoder call, `isCancelled` asked before each call; a search that is cancelled or out
 * of budget returns what it found so far.
 */
class EverythingGenerator(
    private val predictor: Predictor,
    private val settings: EverythingSettings,
    private val progress: (SearchProgress) -> Unit = {},
    private val isCancelled: () -> Boolean = { false },
) {
    init {
        if (settings.hierarchical && settings.cropLayers > 0) {
            throw SettingsException("crops belong to the flat grid: set hierarchical to false, or cropLayers to 0")
        }
        if (settings.cropPointsDownscale < 1) throw SettingsException("cropPointsDownscale must be at least 1")
        val least = if (settings.hierarchical) predictor.manifest.search.coarseFactor else 1
        if (settings.pointsPerSide < least) {
            throw SettingsException("pointsPerSide must be at least $least, not ${settings.pointsPerSide}")
        }
    }

    /** Segments a photo, with its crops if the settings say so; `resizer` as in [Predictor.encode]. */
    fun generate(photo: RgbRows, resizer: PhotoResizer? = null): EverythingResult {
        if (settings.cropLayers == 0) return generate(predictor.encode(photo, resizer))
        val search = Search()
        return result(search, search.crops(photo, resizer))
    }

    /** Segments an encoded photo; throws [SettingsException] if crops are set, which need the photo itself. */
    fun generate(photo: EncodedPhoto): EverythingResult {
        if (settings.cropLayers > 0) throw SettingsException("crops are encoded one by one: give the photo itself")
        val search = Search()
        return result(search, if (settings.hierarchical) search.hierarchical(photo) else search.flat(photo))
    }

    private fun result(search: Search, apart: List<SegmentedObject>): EverythingResult {
        val cleaned = if (settings.minRegionArea > 0) clean(apart) else apart
        return EverythingResult(
            objects = byFallingScore(scores(cleaned)).map { cleaned[it] },
            visited = search.visited,
            decoderCalls = search.decoderCalls,
            scoreCalls = search.scoreCalls,
            end = search.end,
        )
    }

    /** One run over one photo: what was visited, what it cost, why it ended. */
    private inner class Search {
        val visited = ArrayList<PhotoPoint>()
        var decoderCalls = 0
        var scoreCalls = 0
        var end = SearchEnd.COMPLETE
        private val started = System.nanoTime()

        /** Of the crop that is searched, in pixels of the photo. */
        private var corner = PhotoPoint(0.0, 0.0)
        private val scoresFirst = settings.mode == EverythingMode.FAST && predictor.canScore

        /** Survivors of round 2 come first in ties. */
        fun hierarchical(photo: EncodedPhoto): List<SegmentedObject> {
            val rules = predictor.manifest.search
            val lattice = PointLattice(photo.geometry.height, photo.geometry.width)
            val coarse = lattice.coarseLattice(settings.pointsPerSide, rules)
            val fine = lattice.secondRoundLattice(settings.pointsPerSide, rules)
            val judge = judge(photo, fine.map { it.point })
            val first = decode(photo, judge, coarse, round = 1)
            val open = fine.filterIndexed { i, _ -> !judge.isCovered(i) }
            val second =
                when (settings.mode) {
                    EverythingMode.EXACT -> decode(photo, judge, open, round = 2).candidates
                    EverythingMode.FAST -> refine(photo, judge, coarse, first, open)
                }
            return judge.finish(second + first.candidates)
        }

        /**
         * The white points of a chessboard, then the black ones that may have a mask: those beside a point whose
         * score came near to the threshold, and those of which nothing is known, since all around them is covered.
         */
        private fun refine(
            photo: EncodedPhoto,
            judge: CandidateJudge,
            coarse: List<LatticePoint>,
            first: Decoded,
            open: List<LatticePoint>,
        ): List<Candidate> {
            val (white, black) = open.partition { it.isWhite }
            val second = decode(photo, judge, white, round = 2)
            val enough = (settings.predIouThresh - settings.fast.nearIouSlack).toFloat()
            val known = (coarse + white).map { it.column to it.row }
            val scores = first.bestScores + second.bestScores
            val near = known.filterIndexed { i, _ -> scores[i] > enough }.toSet()
            val all = known.toSet()
            val chosen = black.filter { it.isBeside(near) || !it.isBeside(all) }
            return second.candidates + decode(photo, judge, chosen, round = 2).candidates
        }

        fun flat(photo: EncodedPhoto, pointsPerSide: Int = settings.pointsPerSide): List<SegmentedObject> {
            val judge = judge(photo, emptyList())
            val lattice = PointLattice(photo.geometry.height, photo.geometry.width)
            val grid = lattice.grid(pointsPerSide).map { LatticePoint(it, 0, 0) }
            return judge.finish(decode(photo, judge, grid, round = 1).candidates)
        }

        /** The flat grid on every crop, then an NMS that prefers masks of smaller crops. */
        fun crops(photo: RgbRows, resizer: PhotoResizer?): List<SegmentedObject> {
            val rules = predictor.manifest.search
            val found = ArrayList<SegmentedObject>()
            val areas = ArrayList<Int>()
            for (crop in cropsOf(photo.height, photo.width, settings.cropLayers, rules.cropOverlapRatio)) {
                if (mustStop()) break
                corner = PhotoPoint(crop.window.columns.first.toDouble(), crop.window.rows.first.toDouble())
                val encoded = predictor.encode(RgbPart(photo, crop.window), resizer)
                val whole = flat(encoded, crop.pointsPerSide(settings)).filter {
                    !crop.cuts(it.box, photo.height, photo.width, rules.cropEdgePixels)
                }
                found += whole.map { crop.placed(it, photo.height, photo.width) }
                areas += whole.map { crop.area }
            }
            // Ranks instead of areas, which float32 may not tell apart.
            val ranks = areas.distinct().sortedDescending()
            val priorities = FloatArray(found.size) { ranks.indexOf(areas[it]).toFloat() }
            return suppressed(found, priorities, settings.cropNmsThresh)
        }

        private fun judge(photo: EncodedPhoto, watched: List<PhotoPoint>): CandidateJudge {
            val upscaler = predictor.upscaler(photo.geometry)
            val threshold = predictor.manifest.maskThreshold
            return when (settings.mode) {
                EverythingMode.EXACT -> ExactJudge(upscaler, photo.geometry, settings, threshold, watched)

                EverythingMode.FAST -> {
                    val extent = LowResolutionExtent(photo.geometry, predictor.manifest.sizes.maskSize)
                    FastJudge(upscaler, extent, settings, threshold, watched)
                }
            }
        }

        private fun decode(
            photo: EncodedPhoto,
            judge: CandidateJudge,
            lattice: List<LatticePoint>,
            round: Int,
        ): Decoded {
            val points = lattice.map { it.point }
            val bestScores = if (scoresFirst) scores(photo, points) else FloatArray(points.size)
            val floor = (settings.predIouThresh - settings.fast.scoreSlack).toFloat()
            val promising = points.indices.filter { !scoresFirst || bestScores[it] > floor }
            var found = emptyList<Candidate>()
            var waiting = promising.size
            if (scoresFirst) progress(SearchProgress(round, points.size - waiting, points.size, found = 0))
            for (batch in promising.chunked(predictor.manifest.sizes.batch)) {
                if (mustStop()) break
                val answer = predictor.decodeClicks(photo, batch.map { points[it].click() })
                decoderCalls++
                if (!scoresFirst) visited += batch.map { points[it].inPhoto() }
                batch.forEachIndexed { row, i ->
                    bestScores[i] = answer.scores(row).max()
                    found = found + judge.survivors(answer, row, points[i].inPhoto())
                }
                found = judge.thin(found)
                waiting -= batch.size
                progress(SearchProgress(round, points.size - waiting, points.size, found.size))
            }
            return Decoded(found, bestScores)
        }

        /** Of each point's masks the best predicted IoU; 0 where the search ended before. */
        private fun scores(photo: EncodedPhoto, points: List<PhotoPoint>): FloatArray {
            val best = FloatArray(points.size)
            var done = 0
            for (batch in points.chunked(predictor.manifest.sizes.scoreBatch)) {
                if (mustStop()) break
                scoreCalls++
                visited += batch.map { it.inPhoto() }
                for (scores in predictor.scoreClicks(photo, batch.map { it.click() })) best[done++] = scores.max()
            }
            return best
        }

        private fun PhotoPoint.inPhoto() = PhotoPoint(x + corner.x, y + corner.y)

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

    private fun PhotoPoint.click() = PromptPoint(x, y)

    /** The survivors of some points, and of each point's masks the best predicted IoU. */
    private class Decoded(val candidates: List<Candidate>, val bestScores: FloatArray)

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
