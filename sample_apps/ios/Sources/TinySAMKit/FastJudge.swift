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

/// The part of low-resolution masks that lies on a photo.
struct LowResolutionExtent: Sendable {
    /// m, in cells.
    let side: Int
    private let photo: PixelSize
    /// Height and width of the photo in cells.
    private let height: Double
    private let width: Double
    private let rows: Int
    private let columns: Int

    init(geometry: Geometry, maskSize: Int) {
        func cells(_ valid: Int) -> Double { Double(valid * maskSize) / Double(geometry.imageSize) }
        // Python's round: an even number where two are as near.
        func whole(_ cells: Double) -> Int { max(1, Int(cells.rounded(.toNearestOrEven))) }
        side = maskSize
        photo = geometry.originalSize
        height = cells(geometry.validSize.height)
        width = cells(geometry.validSize.width)
        rows = whole(height)
        columns = whole(width)
    }

    /// Gives `body` each row on the photo of a mask f32 (m, m), and its length.
    func forEachRow(_ logits: UnsafeBufferPointer<Float>, _ body: (UnsafePointer<Float>, Int) -> Void) {
        guard let start = logits.baseAddress else { return }
        for y in 0..<rows { body(start + y * side, columns) }
    }

    /// Inclusive box in photo pixels, from where the largest logit of a row or column passes `threshold`, which is 0.
    func roughBox(_ logits: UnsafeBufferPointer<Float>, above threshold: Float) -> PixelBox {
        var byColumn = [Float](repeating: -.infinity, count: columns)
        var byRow = [Float](repeating: -.infinity, count: rows)
        for y in 0..<rows {
            for x in 0..<columns {
                let logit = logits[y * side + x]
                byColumn[x] = max(byColumn[x], logit)
                byRow[y] = max(byRow[y], logit)
            }
        }
        let (x0, x1) = pixels(byColumn, threshold, cells: width, pixels: photo.width)
        let (y0, y1) = pixels(byRow, threshold, cells: height, pixels: photo.height)
        return PixelBox(x0: x0, y0: y0, x1: x1, y1: y1)
    }

    /// First and last pixel between the ends of a profile.
    private func pixels(
        _ profile: [Float], _ threshold: Float, cells: Double, pixels: Int
    ) -> (Int, Int) {
        let (low, high) = ends(profile, threshold)
        let scale = Double(pixels) / cells
        let first = (Double(low) * scale - pixelCentre).rounded(.up)
        let last = (Double(high) * scale - pixelCentre).rounded(.up) - 1
        func clamped(_ place: Double) -> Int { Int(min(max(place, 0), Double(pixels - 1))) }
        return (clamped(first), clamped(last))
    }

    /// Where the first and the last run above the threshold begin and end, in cells.
    private func ends(_ profile: [Float], _ threshold: Float) -> (Float, Float) {
        guard let first = profile.firstIndex(where: { $0 > threshold }),
            let last = profile.lastIndex(where: { $0 > threshold })
        else { return (0, 0) }
        var (low, high) = (Float(0), Float(profile.count))
        if first > 0 {
            let step = profile[first] / (profile[first] - profile[first - 1])
            low = Float(Double(first) + pixelCentre) - step
        }
        if last < profile.count - 1 {
            let step = profile[last] / (profile[last] - profile[last + 1])
            high = Float(Double(last) + pixelCentre) + step
        }
        return (low, high)
    }
}
