/// The thresholds of the exact judge, as far as possible on the low-resolution logits.
///
/// Only what comes near to a threshold, and what is left in the end, is taken to full size, and of that only the
/// window around the mask.
struct FastJudge: CandidateJudge {
    private let thresholds: EverythingThresholds
    private let rules: FastSearchRules
    private let maskThreshold: Float
    private let upscaler: MaskUpscaler
    private let extent: LowResolutionExtent
    /// Columns and rows of the watched pixels.
    private let watched: [(column: Int, row: Int)]

    /// `watched` are points of the photo, of which the pixel under them counts.
    init(
        thresholds: EverythingThresholds, rules: FastSearchRules, maskThreshold: Float,
        upscaler: MaskUpscaler, extent: LowResolutionExtent, watched: [Point]
    ) {
        self.thresholds = thresholds
        self.rules = rules
        self.maskThreshold = maskThreshold
        self.upscaler = upscaler
        self.extent = extent
        self.watched = watched.map { (Int($0.x), Int($0.y)) }
    }

    func verdict(on answer: LowResolution, point: Point) -> Verdict {
        var candidates: [Candidate] = []
        var covered: [Int] = []
        for (index, score) in answer.scores.enumerated() where score > thresholds.predictedIoU {
            upscaler.withLogits(answer.logits, at: index) { logits in
                let stability = stability(logits)
                guard stability >= thresholds.stability else { return }
                covered += pointsCovered(by: logits)
                let window = LogitWindow(
                    logits, side: extent.side, margin: rules.windowMarginCells, above: maskThreshold
                )
                candidates.append(
                    Candidate(
                        shape: .waiting(window), box: extent.roughBox(logits, above: maskThreshold),
                        score: score, stability: stability, point: point, maskIndex: index
                    )
                )
            }
        }
        return Verdict(candidates: candidates, covered: covered)
    }

    func thinned(_ found: [Candidate]) -> [Candidate] {
        var found = found
        for iou in rules.duplicateIous {
            if found.reduce(0, { $0 + $1.waitingBytes }) <= rules.maxWaitingBytes { break }
            found = suppressed(found, above: Float(iou))
        }
        return found
    }

    /// As an NMS of full-size boxes, of which only those are made that decide.
    func finished(_ found: [Candidate]) -> [SegmentedObject] {
        let surely = thresholds.boxIoU(shiftedBy: rules.boxMargin)
        let perhaps = thresholds.boxIoU(shiftedBy: -rules.boxMargin)
        var kept: [Candidate] = []
        for index in stableOrder(falling: found.map(\.score)) {
            var candidate = found[index]
            let overlaps = kept.map { candidate.box.iou($0.box) }
            if overlaps.contains(where: { $0 > surely }) { continue }
            let unsure = overlaps.indices.filter { overlaps[$0] > perhaps }
            if !unsure.isEmpty { candidate = fullSize(candidate) }
            for i in unsure { kept[i] = fullSize(kept[i]) }
            if !unsure.contains(where: { candidate.box.iou(kept[$0].box) > thresholds.boxIoU }) {
                kept.append(candidate)
            }
        }
        return kept.compactMap { fullSize($0).object }
    }

    /// At full size where that may decide.
    private func stability(_ logits: UnsafeBufferPointer<Float>) -> Float {
        var rough = Stability(threshold: maskThreshold, offset: thresholds.stabilityOffset)
        extent.forEachRow(logits) { rough.count($0, $1) }
        let margin = rules.stabilityMarginCells / Double(max(rough.outerCount, 1)).squareRoot()
        guard Double(abs(rough.score - thresholds.stability)) <= margin else { return rough.score }
        var full = Stability(threshold: maskThreshold, offset: thresholds.stabilityOffset)
        let window = upscaler.window(of: logits, above: maskThreshold - thresholds.stabilityOffset)
        upscaler.forEachRow(of: logits, in: window) { _, row in full.count(row, window.columns.count) }
        return full.score
    }

    private func pointsCovered(by logits: UnsafeBufferPointer<Float>) -> [Int] {
        guard let highest = logits.max(), highest > thresholds.highScore else { return [] }
        return watched.indices.filter { index in
            let pixel = watched[index]
            return upscaler.logit(of: logits, row: pixel.row, column: pixel.column) > thresholds.highScore
        }
    }

    private func fullSize(_ candidate: Candidate) -> Candidate {
        guard case let .waiting(window) = candidate.shape else { return candidate }
        var candidate = candidate
        let runs = window.whole(outside: maskThreshold - 1).withUnsafeBufferPointer { logits in
            upscaler.runLengths(of: logits, above: maskThreshold)
        }
        candidate.shape = .fullSize(runs)
        candidate.box = runs.box
        return candidate
    }
}
