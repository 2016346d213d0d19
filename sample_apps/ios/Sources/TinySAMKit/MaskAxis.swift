/// One axis of both resizes of a mask: low resolution → S frame → crop to the photo → original pixels, both
/// bilinear without antialiasing (align_corners=False, as PyTorch's `interpolate`).
///
/// Both are linear and separable, so together they are output i = Σ `weights`[i][t] · input[`first`[i] + t].
/// An output reads two neighbours of the S frame, and each of those two neighbours of the mask, which is not
/// larger than the S frame: at most three inputs.
struct MaskAxis: Sendable {
    static let taps = 3

    /// Of the low-resolution mask, in cells.
    let inputCount: Int
    /// (outputs,)
    let first: [Int]
    /// (outputs,), of inputs `first`, `first` + 1 and `first` + 2.
    private let weights: [SIMD3<Float>]

    /// Resizes `inputCount` → `imageSize`, keeps the first `valid`, resizes those → `original`.
    init(inputCount: Int, imageSize: Int, valid: Int, original: Int) {
        var first: [Int] = []
        var weights: [SIMD3<Float>] = []
        for output in 0..<original {
            let outer = TwoTaps(output, from: valid, to: original)
            let inner = outer.inputs.map { TwoTaps($0, from: inputCount, to: imageSize) }
            let start = inner[0].inputs[0]
            var sums = SIMD3<Double>.zero
            for (taps, outerWeight) in zip(inner, outer.weights) {
                for (input, innerWeight) in zip(taps.inputs, taps.weights) {
                    sums[input - start] += outerWeight * innerWeight
                }
            }
            first.append(start)
            weights.append(SIMD3<Float>(sums))
        }
        self.inputCount = inputCount
        self.first = first
        self.weights = weights
    }

    @inline(__always)
    func weights(of output: Int) -> SIMD3<Float> { weights[output] }

    /// Input of output `i` and tap `t`; taps beyond the last input have weight 0.
    @inline(__always)
    func input(_ output: Int, _ tap: Int) -> Int { min(first[output] + tap, inputCount - 1) }

    /// The outputs that may read one of `inputs`.
    func outputs(reading inputs: ClosedRange<Int>) -> Range<Int> {
        let start = first.partitionPoint { $0 > inputs.lowerBound - Self.taps }
        let end = first.partitionPoint { $0 > inputs.upperBound }
        return start..<max(start, end)
    }
}

/// The two inputs that one output of a bilinear resize without antialiasing reads, and their weights.
private struct TwoTaps {
    let inputs: [Int]
    let weights: [Double]

    init(_ output: Int, from source: Int, to target: Int) {
        let scale = Double(source) / Double(target)
        let centre = max((Double(output) + pixelCentre) * scale - pixelCentre, 0)
        let low = min(Int(centre), source - 1)
        let high = min(low + 1, source - 1)
        let fraction = low + 1 < source ? centre - Double(low) : 0
        inputs = [low, high]
        weights = [1 - fraction, fraction]
    }
}

extension Array {
    /// Index of the first element for which `isAfter` holds, in an array in which it stays true once it is.
    fileprivate func partitionPoint(_ isAfter: (Element) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if isAfter(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
