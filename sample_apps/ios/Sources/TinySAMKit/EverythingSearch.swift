/// One run of everything mode over one photo: what was visited, what it cost, when to stop.
struct EverythingSearch {
    private let predictor: Predictor
    private let image: EncodedImage
    private let options: EverythingOptions
    private let judge: any CandidateJudge
    private let isStopped: @Sendable () -> Bool
    private let start = ContinuousClock.now

    private(set) var visited: [Point] = []
    private(set) var decoderCalls = 0
    private(set) var stoppedEarly = false

    init(
        predictor: Predictor, image: EncodedImage, options: EverythingOptions, judge: any CandidateJudge,
        isStopped: @escaping @Sendable () -> Bool
    ) {
        self.isStopped = isStopped
        self.predictor = predictor
        self.image = image
        self.options = options
        self.judge = judge
    }

    /// What decoding some points gave.
    struct Found {
        /// The survivors, in order.
        var candidates: [Candidate] = []
        /// Indices of the watched points that they cover.
        var covered: Set<Int> = []
        /// Of each point's masks the best predicted IoU, 0 for a point that no call was left for.
        var bestScores: [Float]
    }

    /// Decodes `points` of the photo, K to a call.
    mutating func decode(
        _ points: [Point], _ progress: @Sendable (EverythingProgress) -> Void
    ) async throws -> Found {
        var found = Found(bestScores: Array(repeating: 0, count: points.count))
        var done = 0
        while done < points.count, !mustStop() {
            try Task.checkCancellation()
            let batch = Array(points[done..<min(done + predictor.manifest.sizes.batch, points.count)])
            decoderCalls += 1
            visited += batch
            let answers = try await answers(batch)
            for (index, answer) in answers.enumerated() {
                found.bestScores[done + index] = answer.scores.max() ?? 0
            }
            done += batch.count
            for verdict in await verdicts(answers, batch) {
                found.candidates += verdict.candidates
                found.covered.formUnion(verdict.covered)
            }
            found.candidates = judge.thinned(found.candidates)
            progress(
                EverythingProgress(
                    decodedPoints: visited.count, waitingPoints: points.count - done,
                    candidates: found.candidates.count
                )
            )
        }
        return found
    }

    private func answers(_ batch: [Point]) async throws -> [LowResolution] {
        let prompts = try batch.map { try Prompt(points: [PromptPoint(x: $0.x, y: $0.y)]) }
        return try await predictor.decodeBatch(prompts, on: image)
    }

    /// Judges each point on a core of its own; the order is that of the points.
    private func verdicts(_ answers: [LowResolution], _ points: [Point]) async -> [Verdict] {
        let judge = judge
        return await withTaskGroup(of: (Int, Verdict).self) { group in
            for (index, (answer, point)) in zip(answers, points).enumerated() {
                group.addTask { (index, judge.verdict(on: answer, point: point)) }
            }
            var verdicts = [Verdict](repeating: Verdict(candidates: [], covered: []), count: points.count)
            for await (index, verdict) in group { verdicts[index] = verdict }
            return verdicts
        }
    }

    private mutating func mustStop() -> Bool {
        let isOverCalls = options.maxDecoderCalls.map { decoderCalls >= $0 } ?? false
        let isOverTime = options.timeBudget.map { ContinuousClock.now - start >= $0 } ?? false
        let isOver = isOverCalls || isOverTime || isStopped()
        stoppedEarly = stoppedEarly || isOver
        return isOver
    }
}
