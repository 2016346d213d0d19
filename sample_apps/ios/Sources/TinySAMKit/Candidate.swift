/// A mask that passed both thresholds.
struct Candidate: Sendable {
    /// What is known of the mask.
    enum Shape: Sendable {
        case fullSize(RunLengths)
        /// It is taken to full size if nothing better covers it.
        case waiting(LogitWindow)
    }

    var shape: Shape
    /// Right to about a pixel while the shape waits.
    var box: PixelBox
    let score: Float
    let stability: Float
    let point: Point
    let maskIndex: Int

    /// Of the logits that wait.
    var waitingBytes: Int {
        if case let .waiting(window) = shape { window.byteCount } else { 0 }
    }

    /// Nil for an empty mask and for one that waits.
    var object: SegmentedObject? {
        guard case let .fullSize(runs) = shape, runs.area > 0 else { return nil }
        return SegmentedObject(
            runs: runs, box: box, score: score, stability: stability, point: point, maskIndex: maskIndex
        )
    }
}

/// What is left of one decoded point.
struct Verdict: Sendable {
    let candidates: [Candidate]
    /// Indices of the watched points that a survivor covers with high score.
    let covered: [Int]
}

/// Decides which masks of a point survive, and what is left of all in the end.
protocol CandidateJudge: Sendable {
    func verdict(on answer: LowResolution, point: Point) -> Verdict

    /// Drops duplicates if the candidates take too much memory to wait for the end.
    func thinned(_ found: [Candidate]) -> [Candidate]

    /// Box NMS, then full-size masks and boxes of what is left; empty masks are dropped.
    func finished(_ found: [Candidate]) -> [SegmentedObject]
}

/// Box NMS by predicted IoU; of equal scores the earlier candidate stays.
func suppressed(_ found: [Candidate], above iouThreshold: Float) -> [Candidate] {
    nonMaximumSuppression(
        boxes: found.map(\.box), scores: found.map(\.score), iouThreshold: iouThreshold
    ).map { found[$0] }
}
