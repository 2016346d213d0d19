/// One axis of a mask's whole way up: output i = Σ `weights`[i][t] · input[`first`[i] + t], t < `taps`.
struct MaskAxis: Sendable {
    static let bilinearTaps = 3
    static let cubicTaps = 4

    /// Inputs of one output; beyond them the weights are 0.
    let taps: Int
    /// Of the low-resolution mask, in cells.
    let inputCount: Int
    /// (outputs,)
    let first: [Int]
    /// (outputs,)
    private let weights: [SIMD4<Float>]

    /// The axes of rows and columns, as the rules of `geometry` say, from a mask of side `maskSize`.
    static func both(_ geometry: Geometry, maskSize: Int) -> (rows: MaskAxis, columns: MaskAxis) {
        let (rules, original) = (geometry.rules, geometry.originalSize)
        switch rules.upscale {
        case .overFrame:
            func axis(_ valid: Int, _ original: Int) -> MaskAxis {
                MaskAxis(
                    inputCount: maskSize, frameSize: geometry.frameSize, valid: valid, original: original)
            }
            let valid = geometry.frameValidSize
            return (axis(valid.height, original.height), axis(valid.width, original.width))
        case .atOnce:
            func axis(_ valid: Int, _ original: Int) -> MaskAxis {
                MaskAxis(inputCount: maskSize, valid: valid, original: original, filter: rules.upscaleFilter)
            }
            let valid = geometry.lowResolutionValid(maskSize)
            return (axis(valid.height, original.height), axis(valid.width, original.width))
        }
    }

    /// Resizes `inputCount` → `frameSize`, keeps the first `valid`, resizes those → `original`.
    ///
    /// An output reads two neighbours of the frame, and each of those two neighbours of the mask, which is not
    /// larger than the frame: at most three inputs.
    private init(inputCount: Int, frameSize: Int, valid: Int, original: Int) {
        let outer = PlainAxis(from: valid, to: original, .bilinear)
        let inner = PlainAxis(from: inputCount, to: frameSize, .bilinear)
        var weights: [SIMD4<Float>] = []
        first = (0..<original).map { inner.first[outer.first[$0]] }
        for output in 0..<original {
            var sums = SIMD4<Double>.zero
            for outerTap in 0..<outer.taps {
                let middle = min(outer.first[output] + outerTap, valid - 1)
                for innerTap in 0..<inner.taps {
                    let input = min(inner.first[middle] + innerTap, inputCount - 1)
                    sums[input - first[output]] +=
                        outer.weights[output][outerTap] * inner.weights[middle][innerTap]
                }
            }
            weights.append(SIMD4<Float>(sums))
        }
        self.inputCount = inputCount
        self.weights = weights
        taps = Self.bilinearTaps
    }

    /// Keeps the first `valid` of `inputCount`, resizes those → `original`.
    private init(inputCount: Int, valid: Int, original: Int, filter: Rules.Filter) {
        let axis = PlainAxis(from: valid, to: original, filter)
        self.inputCount = inputCount
        first = axis.first
        weights = axis.weights.map(SIMD4<Float>.init)
        taps = max(axis.taps, Self.bilinearTaps)
    }

    @inline(__always)
    func weights(of output: Int) -> SIMD4<Float> { weights[output] }

    /// Input of output `i` and tap `t`; taps beyond the last input have weight 0.
    @inline(__always)
    func input(_ output: Int, _ tap: Int) -> Int { min(first[output] + tap, inputCount - 1) }

    /// The outputs that may read one of `inputs`.
    func outputs(reading inputs: ClosedRange<Int>) -> Range<Int> {
        let start = first.partitionPoint { $0 > inputs.lowerBound - taps }
        let end = first.partitionPoint { $0 > inputs.upperBound }
        return start..<max(start, end)
    }
}

/// Resize of one axis without antialiasing (align_corners=False, as PyTorch's `interpolate`): output i =
/// Σ `weights`[i][t] · input[`first`[i] + t], t < `taps`. Beyond the border the last input is repeated, as weight on it.
struct PlainAxis: Sendable {
    let taps: Int
    let first: [Int]
    let weights: [SIMD4<Double>]

    init(from source: Int, to target: Int, _ filter: Rules.Filter) {
        var first: [Int] = []
        var weights: [SIMD4<Double>] = []
        func inside(_ place: Int) -> Int { min(max(place, 0), source - 1) }
        for output in 0..<target {
            let scale = Double(source) / Double(target)
            let centre = (Double(output) + pixelCentre) * scale - pixelCentre
            let (low, values) = filter == .bicubic ? Self.cubic(centre) : Self.linear(max(centre, 0))
            first.append(inside(low))
            var sums = SIMD4<Double>.zero
            for (tap, value) in values.enumerated() { sums[inside(low + tap) - inside(low)] += value }
            weights.append(sums)
        }
        self.first = first
        self.weights = weights
        taps = filter == .bicubic ? MaskAxis.cubicTaps : 2
    }

    private static func linear(_ centre: Double) -> (Int, [Double]) {
        let low = Int(centre)
        return (low, [1 - (centre - Double(low)), centre - Double(low)])
    }

    /// Keys' kernel with PyTorch's a = −0.75.
    private static func cubic(_ centre: Double) -> (Int, [Double]) {
        let a = -0.75
        let low = centre.rounded(.down)
        let values = (-1...2).map { step in
            let x = abs(centre - low - Double(step))
            return x <= 1
                ? ((a + 2) * x - (a + 3)) * x * x + 1 : ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        }
        return (Int(low) - 1, values)
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
