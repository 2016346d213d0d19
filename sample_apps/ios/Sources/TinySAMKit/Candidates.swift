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

/// Judges the masks of a point at full size in the official order: predicted IoU, then stability, then what a
/// survivor covers. Of a mask only the part of the photo that it may touch is made, one row at a time.
struct ExactJudge: CandidateJudge {
    private let thresholds: EverythingThresholds
    private let maskThreshold: Float
    private let upscaler: MaskUpscaler
    /// Row of the photo → watched points in it, as column and index.
    private let watched: [Int: [(column: Int, index: Int)]]

    /// `watched` are points of the photo, of which the pixel under them counts.
    init(thresholds: EverythingThresholds, maskThreshold: Float, upscaler: MaskUpscaler, watched: [Point]) {
        self.thresholds = thresholds
        self.maskThreshold = maskThreshold
        self.upscaler = upscaler
        self.watched = watched.enumerated().reduce(into: [:]) { rows, point in
            rows[Int(point.element.y), default: []].append((Int(point.element.x), point.offset))
        }
    }

    func verdict(on answer: LowResolution, point: Point) -> Verdict {
        var candidates: [Candidate] = []
        var covered: [Int] = []
        for (index, score) in answer.scores.enumerated() where score > thresholds.predictedIoU {
            let full = upscaler.withLogits(answer.logits, at: index, fullSize)
            guard full.stability >= thresholds.stability else { continue }
            covered += full.covered
            candidates.append(
                Candidate(
                    shape: .fullSize(full.runs), box: full.runs.box, score: score,
                    stability: full.stability, point: point, maskIndex: index
                )
            )
        }
        return Verdict(candidates: candidates, covered: covered)
    }

    func thinned(_ found: [Candidate]) -> [Candidate] { found }

    func finished(_ found: [Candidate]) -> [SegmentedObject] {
        suppressed(found, above: thresholds.boxIoU).compactMap(\.object)
    }

    /// Everything about one mask f32 (m, m) that needs its full size, in one pass over it.
    private func fullSize(
        _ logits: UnsafeBufferPointer<Float>
    ) -> (runs: RunLengths, stability: Float, covered: [Int]) {
        var stability = Stability(threshold: maskThreshold, offset: thresholds.stabilityOffset)
        let lowest = min(stability.lowestCut, maskThreshold, thresholds.highScore)
        let window = upscaler.window(of: logits, above: lowest)
        var covered: [Int] = []
        let width = window.columns.count
        let pixels = [UInt8](unsafeUninitializedCapacity: window.size.area) { pixels, count in
            upscaler.forEachRow(of: logits, in: window) { y, row in
                stability.count(row, width)
                let start = (y - window.rows.lowerBound) * width
                for x in 0..<width { pixels[start + x] = row[x] > maskThreshold ? 1 : 0 }
                for point in watched[y] ?? [] where window.columns.contains(point.column) {
                    if row[point.column - window.columns.lowerBound] > thresholds.highScore {
                        covered.append(point.index)
                    }
                }
            }
            count = window.size.area
        }
        let runs = pixels.withUnsafeBufferPointer {
            RunLengths(window: window, pixels: $0, size: upscaler.originalSize)
        }
        return (runs, stability.score, covered)
    }
}
