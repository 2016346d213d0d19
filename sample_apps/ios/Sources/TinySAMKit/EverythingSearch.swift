/// One run of everything mode over one photo: what was visited, what it cost, when to stop.
struct EverythingSearch {
    private let predictor: Predictor
    private var image: EncodedImage
    private let options: EverythingOptions
    private var judge: any CandidateJudge
    /// Of the crop that `image` is, in pixels of the photo.
    private var corner = Point(x: 0, y: 0)
    /// Points with no score above it are not decoded; none where no scores come first.
    private let floor: Float?
    private let isStopped: @Sendable () -> Bool
    private let start = ContinuousClock.now

    private(set) var visited: [Point] = []
    private(set) var decoderCalls = 0
    private(set) var scoreCalls = 0
    private(set) var stoppedEarly = false

    init(
        predictor: Predictor, image: EncodedImage, options: EverythingOptions, judge: any CandidateJudge,
        floor: Float?, isStopped: @escaping @Sendable () -> Bool
    ) {
        self.floor = floor
        self.isStopped = isStopped
        self.predictor = predictor
        self.image = image
        self.options = options
        self.judge = judge
    }

    /// Goes on in another crop of the photo, whose first pixel is `corner`.
    mutating func turn(to image: EncodedImage, at corner: Point, judge: any CandidateJudge) {
        self.image = image
        self.corner = corner
        self.judge = judge
    }

    /// What asking some points gave.
    struct Found {
        /// The survivors, in order.
        var candidates: [Candidate] = []
        /// Indices of the watched points that they cover.
        var covered: Set<Int> = []
        /// Of each point's masks the best predicted IoU, 0 for a point that no call was left for.
        var bestScores: [Float]
    }

    /// Decodes `points` of the photo or crop, K to a call; where scores come first, those of them that may pass.
    mutating func decode(
        _ points: [Point], _ progress: @Sendable (EverythingProgress) -> Void
    ) async throws -> Found {
        var found = Found(bestScores: Array(repeating: 0, count: points.count))
        var promising = Array(points.indices)
        if let floor {
            found.bestScores = try await scores(of: points)
            promising = points.indices.filter { found.bestScores[$0] > floor }
            report(waiting: promising.count, found, progress)
        }
        var done = 0
        while done < promising.count, !mustStop() {
            try Task.checkCancellation()
            let batch = promising[done..<min(done + predictor.manifest.sizes.batch, promising.count)]
            try await decode(batch.map { ($0, points[$0]) }, &found)
            done += batch.count
            report(waiting: promising.count - done, found, progress)
        }
        return found
    }

    /// One call of the decoder.
    private mutating func decode(_ batch: [(index: Int, point: Point)], _ found: inout Found) async throws {
        decoderCalls += 1
        if floor == nil { visited += batch.map { inPhoto($0.point) } }
        let answers = try await predictor.decodeBatch(prompts(batch.map(\.point)), on: image)
        for (answer, (index, _)) in zip(answers, batch) { found.bestScores[index] = answer.scores.max() ?? 0 }
        for verdict in await verdicts(answers, batch.map(\.point)) {
            found.candidates += verdict.candidates
            found.covered.formUnion(verdict.covered)
        }
        found.candidates = judge.thinned(found.candidates)
    }

    /// Of each point's masks the best predicted IoU; 0 where the search ended before.
    private mutating func scores(of points: [Point]) async throws -> [Float] {
        var best = [Float](repeating: 0, count: points.count)
        let rows = predictor.manifest.sizes.scoreBatch
        for start in stride(from: 0, to: points.count, by: rows) {
            if mustStop() { break }
            try Task.checkCancellation()
            let batch = Array(points[start..<min(start + rows, points.count)])
            scoreCalls += 1
            visited += batch.map(inPhoto)
            for (index, scores) in try await predictor.scoreBatch(prompts(batch), on: image).enumerated() {
                best[start + index] = scores.max() ?? 0
            }
        }
        return best
    }

    private func inPhoto(_ point: Point) -> Point { Point(x: point.x + corner.x, y: point.y + corner.y) }

    private func prompts(_ points: [Point]) throws -> [Prompt] {
        try points.map { try Prompt(points: [PromptPoint(x: $0.x, y: $0.y)]) }
    }

    private func report(
        waiting: Int, _ found: Found, _ progress: @Sendable (EverythingProgress) -> Void
    ) {
        progress(
            EverythingProgress(
                decodedPoints: visited.count - (floor == nil ? 0 : waiting), waitingPoints: waiting,
                candidates: found.candidates.count
            )
        )
    }

    /// Judges each point on a core of its own; the order is that of the points.
    private func verdicts(_ answers: [LowResolution], _ points: [Point]) async -> [Verdict] {
        let judge = judge
        let points = points.map(inPhoto)
        return await withTaskGroup(of: (Int, Verdict).self) { group in
            for (index, (answer, point)) in zip(answers, points).enumerated() {
                group.addTask { (index, judge.verdict(on: answer, point: point)) }
            }
            var verdicts = [Verdict](repeating: Verdict(candidates: [], covered: []), count: points.count)
            for await (index, verdict) in group { verdicts[index] = verdict }
            return verdicts
        }
    }

    /// Whether the search ends here: a budget is spent, or somebody said so.
    mutating func mustStop() -> Bool {
        let isOverCalls = options.maxDecoderCalls.map { decoderCalls >= $0 } ?? false
        let isOverTime = options.timeBudget.map { ContinuousClock.now - start >= $0 } ?? false
        let isOver = isOverCalls || isOverTime || isStopped()
        stoppedEarly = stoppedEarly || isOver
        return isOver
    }
}
