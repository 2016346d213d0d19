/// Pillow's bilinear resize of 8-bit images, bit for bit: antialiased (a triangle that grows with the shrink
/// factor), first along the rows, then along the columns, each pass in fixed point and rounded to 8 bits.
///
/// Source: Pillow, `src/libImaging/Resample.c`.
struct BilinearResize {
    private let source: PixelSize
    private let target: PixelSize

    init(from source: PixelSize, to target: PixelSize) {
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
        let axis = ResizeAxis(from: source.width, to: target.width)
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
        let axis = ResizeAxis(from: source.height, to: target.height)
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
private struct ResizeAxis {
    /// Bits after the point of a weight: 8 for the sample and 2 to spare stay of 32.
    static let precisionBits = 32 - UInt8.bitWidth - 2
    static let half = Int32(1) << (precisionBits - 1)

    private let taps: Int
    private let first: [Int]
    private let lengths: [Int]
    /// i32 (target, taps), fixed point.
    private let weights: [Int32]

    init(from source: Int, to target: Int) {
        let scale = Double(source) / Double(target)
        // Enlarging keeps the triangle at one input pixel to each side.
        let support = max(scale, 1)
        taps = Int(support.rounded(.up)) * 2 + 1
        var first: [Int] = []
        var lengths: [Int] = []
        var weights = [Int32](repeating: 0, count: target * taps)
        for output in 0..<target {
            let centre = (Double(output) + pixelCentre) * scale
            let low = max(Int(centre - support + pixelCentre), 0)
            let high = min(Int(centre + support + pixelCentre), source)
            let triangle = (low..<high).map { input in
                max(1 - abs((Double(input) - centre + pixelCentre) * (1 / support)), 0)
            }
            let total = triangle.reduce(0, +)
            for (tap, weight) in triangle.enumerated() {
                let share = total == 0 ? weight : weight / total
                weights[output * taps + tap] = Int32(share * Double(1 << Self.precisionBits) + pixelCentre)
            }
            first.append(low)
            lengths.append(high - low)
        }
        self.first = first
        self.lengths = lengths
        self.weights = weights
    }

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
                        place[0] = UInt8(truncatingIfNeeded: red >> Self.precisionBits)
                        place[1] = UInt8(truncatingIfNeeded: green >> Self.precisionBits)
                        place[2] = UInt8(truncatingIfNeeded: blue >> Self.precisionBits)
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
            target[i] = UInt8(truncatingIfNeeded: sums[i] >> Self.precisionBits)
        }
    }
}
