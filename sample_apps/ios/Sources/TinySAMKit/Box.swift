/// A rectangle x0, y0, x1, y1 in pixels; the caller's documentation says in which frame.
public struct Box: Hashable, Sendable {
    public let x0: Double
    public let y0: Double
    public let x1: Double
    public let y1: Double

    public init(x0: Double, y0: Double, x1: Double, y1: Double) {
        self.x0 = x0
        self.y0 = y0
        self.x1 = x1
        self.y1 = y1
    }

    var topLeft: Point { Point(x: x0, y: y0) }
    var bottomRight: Point { Point(x: x1, y: y1) }
}

/// Indices of the boxes that stay, by falling score; of equal scores the earlier one goes first.
///
/// `boxes` and `scores` are as many. A box goes if its IoU with one that stays and has a higher score is above
/// `iouThreshold`. Widths are x1 − x0, so boxes without area overlap nothing. All in f32, as on the host.
public func nonMaximumSuppression(boxes: [PixelBox], scores: [Float], iouThreshold: Float) -> [Int] {
    nonMaximumSuppression(boxes: boxes.map(FloatBox.init), scores: scores, iouThreshold: iouThreshold)
}

/// The same on boxes between pixels.
public func nonMaximumSuppression(boxes: [Box], scores: [Float], iouThreshold: Float) -> [Int] {
    nonMaximumSuppression(boxes: boxes.map(FloatBox.init), scores: scores, iouThreshold: iouThreshold)
}

private func nonMaximumSuppression(boxes: [FloatBox], scores: [Float], iouThreshold: Float) -> [Int] {
    var kept: [Int] = []
    for index in stableOrder(falling: scores)
    where !kept.contains(where: { boxes[$0].iou(boxes[index]) > iouThreshold }) {
        kept.append(index)
    }
    return kept
}

extension PixelBox {
    /// IoU with another box, measured as by `nonMaximumSuppression`.
    func iou(_ other: PixelBox) -> Float { FloatBox(other).iou(FloatBox(self)) }
}

/// Indices of `scores` from the highest on; of equal ones the earlier first.
func stableOrder(falling scores: [Float]) -> [Int] {
    scores.indices.sorted { left, right in
        scores[left] == scores[right] ? left < right : scores[left] > scores[right]
    }
}

private struct FloatBox {
    let low: SIMD2<Float>
    let high: SIMD2<Float>

    init(_ box: PixelBox) {
        low = SIMD2(Float(box.x0), Float(box.y0))
        high = SIMD2(Float(box.x1), Float(box.y1))
    }

    init(_ box: Box) {
        low = SIMD2(Float(box.x0), Float(box.y0))
        high = SIMD2(Float(box.x1), Float(box.y1))
    }

    private var area: Float { (high - low).x * (high - low).y }

    func iou(_ other: FloatBox) -> Float {
        let lowest = pointwiseMax(low, other.low)
        let highest = pointwiseMin(high, other.high)
        let sides = pointwiseMax(highest - lowest, .zero)
        let shared = sides.x * sides.y
        let union = area + other.area - shared
        return union > 0 ? shared / union : 0
    }
}
