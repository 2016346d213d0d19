/// A photo in the size in which `encode` takes it: (H, W, 3) RGB.
enum ResizedPixels {
    case whole([UInt8])
    case floats([Float])
}

/// The resize of a photo that the rules of a model ask for.
struct PhotoResize {
    private let source: PixelSize
    private let target: PixelSize
    private let rules: Rules

    init(from source: PixelSize, to target: PixelSize, rules: Rules) {
        self.source = source
        self.target = target
        self.rules = rules
    }

    /// u8 (H, W, 3) of the source size → (H, W, 3) of the target size.
    func callAsFunction(_ pixels: [UInt8]) -> ResizedPixels {
        if rules.wholeValues {
            return .whole(WholeResize(from: source, to: target, filter: rules.filter)(pixels))
        }
        return .floats(resampled(pixels))
    }

    /// Columns, then rows, each rounded to f32.
    private func resampled(_ pixels: [UInt8]) -> [Float] {
        let (columns, rows) = (axis(source.width, target.width), axis(source.height, target.height))
        let channels = RGBImage.channels
        let length = target.width * channels
        let narrow = (0..<source.height * length).map { place in
            let (y, x) = place.quotientAndRemainder(dividingBy: length)
            let start = y * source.width * channels + x % channels
            return columns.weighed(x / channels) { Double(pixels[start + $0 * channels]) }
        }
        return (0..<target.height * length).map { place in
            let (y, x) = place.quotientAndRemainder(dividingBy: length)
            return rows.weighed(y) { Double(narrow[$0 * length + x]) }
        }
    }

    private func axis(_ source: Int, _ target: Int) -> FloatAxis {
        rules.antialias
            ? FloatAxis(pillow: source, target, rules.filter)
            : FloatAxis(plain: source, target, rules.filter)
    }
}

/// One axis of a resize in double: output i is Σ `weights`[i][t] · input[`first`[i] + t].
private struct FloatAxis {
    let first: [Int]
    let weights: [[Double]]

    /// Pillow's kernels, a triangle or a cubic, whose support grows with the shrink factor.
    init(pillow source: Int, _ target: Int, _ filter: Rules.Filter) {
        let scale = Double(source) / Double(target)
        // Enlarging keeps the kernel as it is.
        let stretch = max(scale, 1)
        let support = stretch * (filter == .bicubic ? 2 : 1)
        let centres = (0..<target).map { (Double($0) + pixelCentre) * scale }
        let first = centres.map { max(Int($0 - support + pixelCentre), 0) }
        weights = zip(centres, first).map { centre, low in
            let values = (low..<min(Int(centre + support + pixelCentre), source)).map { input in
                // Times the inverse, as Pillow does: a division rounds differently.
                let x = abs((Double(input) - centre + pixelCentre) * (1 / stretch))
                return filter == .bicubic ? Self.cubic(x) : max(1 - x, 0)
            }
            let total = values.reduce(0, +)
            return values.map { total == 0 ? $0 : $0 / total }
        }
        self.first = first
    }

    /// Without antialiasing.
    init(plain source: Int, _ target: Int, _ filter: Rules.Filter) {
        let axis = PlainAxis(from: source, to: target, filter)
        first = axis.first
        weights = zip(axis.first, axis.weights).map { low, values in
            (0..<min(axis.taps, source - low)).map { values[$0] }
        }
    }

    func weighed(_ output: Int, _ input: (Int) -> Double) -> Float {
        var sum = 0.0
        for (tap, weight) in weights[output].enumerated() { sum += weight * input(first[output] + tap) }
        return Float(sum)
    }

    /// Keys' kernel with a = −0.5, in the order of Pillow's operations.
    private static func cubic(_ x: Double) -> Double {
        let a = -0.5
        if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
        return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0
    }
}

/// Pillow's resize of 8-bit images, bit for bit: antialiased (a kernel that grows with the shrink factor), first along the
/// rows, then along the columns, each pass in fixed point and rounded to 8 bits.
///
/// Source: Pillow, `src/libImaging/Resample.c`.
struct WholeResize {
    private let source: PixelSize
    private let target: PixelSize
    private let filter: Rules.Filter

    init(from source: PixelSize, to target: PixelSize, filter: Rules.Filter = .bilinear) {
        self.filter = filter
        self.source = source
        self.target = target
    }

    /// u8 (H, W, 3) of the source size → u8 (H, W, 3) of the target size.
    func callAsFunction(_ pixels: [UInt8]) -> [UInt8] {
        let narrow = source.width == target.width ? pixels : resizedRows(pixels)
        return source.height == target.height ? narrow : resizedColumns(narrow)
    }

    /// (source height, source width, 3) → (source height, target width, 3).
    private func resizedRows(_ pixels: [UInt8]) -> [UInt8] {
        let axis = FixedAxis(from: source.width, to: target.width, filter)
        let sourceStride = source.width * RGBImage.channels
        let targetStride = target.width * RGBImage.channels
        return [UInt8](unsafeUninitializedCapacity: source.height * targetStride) { result, count in
            pixels.withUnsafeBufferPointer { input in
                guard let from = input.baseAddress, let to = result.baseAddress else { return }
                for y in 0..<source.height {
                    axis.resizeRow(from + y * sourceStride, into: to + y * targetStride)
                }
            }
            count = source.height * targetStride
        }
    }

    /// (source height, target width, 3) → (target height, target width, 3).
    private func resizedColumns(_ pixels: [UInt8]) -> [UInt8] {
        let axis = FixedAxis(from: source.height, to: target.height, filter)
        let stride = target.width * RGBImage.channels
        var sums = [Int32](repeating: 0, count: stride)
        return [UInt8](unsafeUninitializedCapacity: target.height * stride) { result, count in
            pixels.withUnsafeBufferPointer { input in
                sums.withUnsafeMutableBufferPointer { sums in
                    guard let from = input.baseAddress, let to = result.baseAddress,
                        let sums = sums.baseAddress
                    else { return }
                    for y in 0..<target.height {
                        axis.mixRows(from, stride: stride, output: y, sums: sums, into: to + y * stride)
                    }
                }
            }
            count = target.height * stride
        }
    }
}

/// One axis of the resize: output i is Σ `weights`[i, t] · input[`first`[i] + t], t < `lengths`[i].
private struct FixedAxis {
    /// Bits after the point of a weight: 8 for the sample and 2 to spare stay of 32.
    static let precisionBits = 32 - UInt8.bitWidth - 2
    static let half = Int32(1) << (precisionBits - 1)

    private let taps: Int
    private let first: [Int]
    private let lengths: [Int]
    /// i32 (target, taps), fixed point.
    private let weights: [Int32]

    init(from source: Int, to target: Int, _ filter: Rules.Filter) {
        let axis = FloatAxis(pillow: source, target, filter)
        taps = axis.weights.reduce(0) { max($0, $1.count) }
        var weights = [Int32](repeating: 0, count: target * taps)
        for (output, shares) in axis.weights.enumerated() {
            for (tap, share) in shares.enumerated() {
                // Half away from zero.
                let half = share < 0 ? -pixelCentre : pixelCentre
                weights[output * taps + tap] = Int32(share * Double(1 << Self.precisionBits) + half)
            }
        }
        first = axis.first
        lengths = axis.weights.map(\.count)
        self.weights = weights
    }

    /// A cubic overshoots.
    @inline(__always)
    private static func eightBits(_ sum: Int32) -> UInt8 { UInt8(clamping: sum >> precisionBits) }

    /// One row of RGB pixels.
    @inline(__always)
    func resizeRow(_ source: UnsafePointer<UInt8>, into target: UnsafeMutablePointer<UInt8>) {
        weights.withUnsafeBufferPointer { weights in
            first.withUnsafeBufferPointer { first in
                lengths.withUnsafeBufferPointer { lengths in
                    for output in 0..<first.count {
                        var pixel = source + first[output] * RGBImage.channels
                        let base = output * taps
                        var (red, green, blue) = (Self.half, Self.half, Self.half)
                        for tap in base..<base + lengths[output] {
                            let weight = weights[tap]
                            red &+= Int32(pixel[0]) &* weight
                            green &+= Int32(pixel[1]) &* weight
                            blue &+= Int32(pixel[2]) &* weight
                            pixel += RGBImage.channels
                        }
                        let place = target + output * RGBImage.channels
                        place[0] = Self.eightBits(red)
                        place[1] = Self.eightBits(green)
                        place[2] = Self.eightBits(blue)
                    }
                }
            }
        }
    }

    /// Row `output` as a mixture of whole rows of `stride` samples; `sums` i32 (stride,) is scratch space.
    @inline(__always)
    func mixRows(
        _ source: UnsafePointer<UInt8>, stride: Int, output: Int, sums: UnsafeMutablePointer<Int32>,
        into target: UnsafeMutablePointer<UInt8>
    ) {
        sums.update(repeating: Self.half, count: stride)
        for tap in 0..<lengths[output] {
            let weight = weights[output * taps + tap]
            let row = source + (first[output] + tap) * stride
            for i in 0..<stride {
                sums[i] &+= Int32(row[i]) &* weight
            }
        }
        for i in 0..<stride {
            target[i] = Self.eightBits(sums[i])
        }
    }
}
