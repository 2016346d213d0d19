/// Pixels of a mask above two cuts, from which its stability follows: the IoU of the mask cut a little above
/// the threshold with the mask cut a little below (arXiv 2304.02643, appendix B).
struct Stability {
    private var inner = 0
    private var outer = 0
    private let high: Float
    private let low: Float

    init(threshold: Float, offset: Float) {
        high = threshold + offset
        low = threshold - offset
    }

    /// The lower of the two cuts.
    var lowestCut: Float { min(low, high) }

    /// Counts `length` logits.
    @inline(__always)
    mutating func count(_ logits: UnsafePointer<Float>, _ length: Int) {
        var (innerHere, outerHere) = (Int32(0), Int32(0))
        for i in 0..<length {
            innerHere &+= logits[i] > high ? 1 : 0
            outerHere &+= logits[i] > low ? 1 : 0
        }
        inner += Int(innerHere)
        outer += Int(outerHere)
    }

    /// Logits above the lower cut.
    var outerCount: Int { outer }

    /// 0 where nothing is above the lower cut.
    var score: Float { Float(inner) / Float(max(outer, 1)) }
}

/// Stability of a mask's `logits`, in any order.
public func stabilityScore(_ logits: [Float], threshold: Float, offset: Float) -> Float {
    var stability = Stability(threshold: threshold, offset: offset)
    logits.withUnsafeBufferPointer { values in
        if let start = values.baseAddress { stability.count(start, values.count) }
    }
    return stability.score
}
