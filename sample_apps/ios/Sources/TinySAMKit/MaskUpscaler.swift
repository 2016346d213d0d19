/// From low-resolution logits f32 (m, m) to the mask of a photo, as the rules of its geometry say.
///
/// Logits of full size exist one row at a time only: a mask of 12 megapixels needs no 48 MB of them.
public struct MaskUpscaler: Sendable {
    public let originalSize: PixelSize
    private let maskSize: Int
    private let filter: Rules.Filter
    private let rows: MaskAxis
    private let columns: MaskAxis

    public init(geometry: Geometry, maskSize: Int) {
        self.originalSize = geometry.originalSize
        self.maskSize = maskSize
        filter = geometry.rules.upscaleFilter
        (rows, columns) = MaskAxis.both(geometry, maskSize: maskSize)
    }

    /// The pixels of the photo whose full-size logit is above `threshold`, `inside` there and 0 elsewhere.
    ///
    /// `logits` f32 (masks, m, m), of which the one at `index` counts.
    public func mask(
        _ logits: FloatTensor, at index: Int, above threshold: Float, inside: UInt8 = 1
    ) -> Mask {
        let size = originalSize
        let pixels = [UInt8](unsafeUninitializedCapacity: size.area) { target, count in
            target.initialize(repeating: 0)
            withLogits(logits, at: index) { low in
                let window = window(of: low, above: threshold)
                forEachRow(of: low, in: window) { y, row in
                    let start = y * size.width + window.columns.lowerBound
                    for x in 0..<window.columns.count {
                        target[start + x] = row[x] > threshold ? inside : 0
                    }
                }
            }
            count = size.area
        }
        return Mask(unchecked: size, pixels: pixels)
    }

    /// Gives `body` mask `index` of `logits` f32 (masks, m, m).
    func withLogits<Result>(
        _ logits: FloatTensor, at index: Int, _ body: (UnsafeBufferPointer<Float>) throws -> Result
    ) rethrows -> Result {
        let length = maskSize * maskSize
        return try logits.withUnsafeValues { all in
            try body(UnsafeBufferPointer(rebasing: all[index * length..<(index + 1) * length]))
        }
    }

    /// Gives `body` the full-size logits of each row of `window`, from its first column on, with the number
    /// of the row in the photo. The memory of the row is used again for the next one.
    func forEachRow(
        of logits: UnsafeBufferPointer<Float>, in window: PixelWindow,
        _ body: (Int, UnsafePointer<Float>) -> Void
    ) {
        guard let first = window.rows.first, let last = window.rows.last, let low = logits.baseAddress,
            !window.columns.isEmpty
        else { return }
        let width = window.columns.count
        let read = rows.input(first, 0)...rows.input(last, rows.taps - 1)
        let wide = widened(low, rows: read, columns: window.columns)
        let buffer = [Float](repeating: 0, count: width)
        wide.withUnsafeBufferPointer { wide in
            var buffer = buffer
            buffer.withUnsafeMutableBufferPointer { buffer in
                guard let wide = wide.baseAddress, let row = buffer.baseAddress else { return }
                for y in window.rows {
                    let weights = rows.weights(of: y)
                    let top = wide + (rows.input(y, 0) - read.lowerBound) * width
                    let middle = wide + (rows.input(y, 1) - read.lowerBound) * width
                    let bottom = wide + (rows.input(y, 2) - read.lowerBound) * width
                    for x in 0..<width {
                        row[x] = weights.x * top[x] + weights.y * middle[x] + weights.z * bottom[x]
                    }
                    if rows.taps == MaskAxis.cubicTaps {
                        let fourth = wide + (rows.input(y, 3) - read.lowerBound) * width
                        for x in 0..<width { row[x] += weights.w * fourth[x] }
                    }
                    body(y, row)
                }
            }
        }
    }

    /// The full-size logit at one pixel.
    func logit(of logits: UnsafeBufferPointer<Float>, row: Int, column: Int) -> Float {
        let (rowWeights, columnWeights) = (rows.weights(of: row), columns.weights(of: column))
        var total: Float = 0
        for tap in 0..<rows.taps {
            let start = rows.input(row, tap) * maskSize
            var wide: Float = 0
            for columnTap in 0..<columns.taps {
                wide += columnWeights[columnTap] * logits[start + columns.input(column, columnTap)]
            }
            total += rowWeights[tap] * wide
        }
        return total
    }

    /// The run lengths of the mask above `threshold`, of which only the part that it may touch is made.
    func runLengths(of logits: UnsafeBufferPointer<Float>, above threshold: Float) -> RunLengths {
        let window = window(of: logits, above: threshold)
        let width = window.columns.count
        let pixels = [UInt8](unsafeUninitializedCapacity: window.size.area) { pixels, count in
            forEachRow(of: logits, in: window) { y, row in
                let start = (y - window.rows.lowerBound) * width
                for x in 0..<width { pixels[start + x] = row[x] > threshold ? 1 : 0 }
            }
            count = window.size.area
        }
        return pixels.withUnsafeBufferPointer {
            RunLengths(window: window, pixels: $0, size: originalSize)
        }
    }

    /// Resizes along the rows only: (rows.count, m) → f32 (rows.count, columns.count).
    private func widened(
        _ logits: UnsafePointer<Float>, rows read: ClosedRange<Int>, columns window: Range<Int>
    ) -> [Float] {
        let width = window.count
        return [Float](unsafeUninitializedCapacity: read.count * width) { wide, count in
            // Cells beyond the last, of weight 0, spare a test per pixel.
            var padded = [Float](repeating: 0, count: maskSize + MaskAxis.cubicTaps - 1)
            for y in read {
                for x in 0..<maskSize { padded[x] = logits[y * maskSize + x] }
                let start = (y - read.lowerBound) * width - window.lowerBound
                padded.withUnsafeBufferPointer { cells in
                    for x in window {
                        let (first, weights) = (columns.first[x], columns.weights(of: x))
                        wide[start + x] =
                            weights.x * cells[first] + weights.y * cells[first + 1]
                            + weights.z * cells[first + 2]
                    }
                    guard columns.taps == MaskAxis.cubicTaps else { return }
                    for x in window {
                        wide[start + x] += columns.weights(of: x).w * cells[columns.first[x] + 3]
                    }
                }
            }
            count = read.count * width
        }
    }

    /// The part of the photo outside which no full-size logit of a mask f32 (m, m) is above `cut`; empty if
    /// there is none. Bilinear upscaling only averages, so cells below `cut` cannot give a pixel above it; a cubic
    /// overshoots.
    func window(of logits: UnsafeBufferPointer<Float>, above cut: Float) -> PixelWindow {
        guard filter == .bilinear else {
            return PixelWindow(rows: 0..<originalSize.height, columns: 0..<originalSize.width)
        }
        // An average of equal numbers may come out a few roundings above them.
        let safe = cut - abs(cut) * Self.averagingError
        var (top, bottom, left, right) = (maskSize, -1, maskSize, -1)
        for y in 0..<maskSize {
            let row = logits[y * maskSize..<(y + 1) * maskSize]
            guard let first = row.firstIndex(where: { $0 > safe }),
                let last = row.lastIndex(where: { $0 > safe })
            else { continue }
            top = min(top, y)
            bottom = y
            left = min(left, first - row.startIndex)
            right = max(right, last - row.startIndex)
        }
        guard top <= bottom else { return .empty }
        let window = PixelWindow(
            rows: rows.outputs(reading: top...bottom), columns: columns.outputs(reading: left...right)
        )
        // Where the mask lies in the padding, one of the two is empty.
        return window.size.area == 0 ? .empty : window
    }

    /// Relative error of two weighted sums of three terms, generously.
    private static let averagingError = 16 * Float.ulpOfOne
}
