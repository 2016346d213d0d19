/// A box of whole pixels: first and last column and row inside.
public struct PixelBox: Hashable, Sendable {
    public let x0: Int
    public let y0: Int
    public let x1: Int
    public let y1: Int

    public init(x0: Int, y0: Int, x1: Int, y1: Int) {
        self.x0 = x0
        self.y0 = y0
        self.x1 = x1
        self.y1 = y1
    }
}

/// A mask as COCO run lengths: counts of 0s, 1s, 0s, … down the columns.
public struct RunLengths: Hashable, Sendable {
    public let size: PixelSize
    public let counts: [Int]

    /// Throws `TinySAMError.runLengths` if `counts` are negative or do not add up to `size`.
    public init(size: PixelSize, counts: [Int]) throws {
        let (area, overflows) = size.height.multipliedReportingOverflow(by: size.width)
        guard size.height >= 0, size.width >= 0, !overflows, area <= Int(Int32.max) else {
            throw TinySAMError.runLengths(reason: "\(size.height) x \(size.width) is no size of a mask")
        }
        // Counts are at most the area before they are added, so the sum cannot overflow for long.
        let areCounts = counts.allSatisfy { (0...area).contains($0) }
        guard areCounts, counts.reduce(0, { min($0 + $1, area + 1) }) == area else {
            throw TinySAMError.runLengths(
                reason: "they must be at least 0 and add up to \(size.height) x \(size.width)"
            )
        }
        self.init(unchecked: size, counts: counts)
    }

    public init(_ mask: Mask) {
        self = mask.pixels.withUnsafeBufferPointer {
            RunLengths(window: .whole(mask.size), pixels: $0, size: mask.size)
        }
    }

    private init(unchecked size: PixelSize, counts: [Int]) {
        self.size = size
        self.counts = counts
    }

    /// A mask of `size` that is `pixels` u8 0 or 1 inside `window` and 0 elsewhere.
    init(window: PixelWindow, pixels: UnsafeBufferPointer<UInt8>, size: PixelSize) {
        let changes = ColumnChanges(pixels, window.size)
        var counts: [Int] = []
        var last = 0
        for (x, columnChanges) in changes.byColumn.enumerated() {
            for y in columnChanges {
                let place = (x + window.columns.lowerBound) * size.height + y + window.rows.lowerBound
                // A run that goes on at the top of the next column ends and begins at one place: neither counts.
                if place == last, !counts.isEmpty {
                    last -= counts.removeLast()
                } else {
                    counts.append(place - last)
                    last = place
                }
            }
        }
        // The last run has at least one pixel.
        if last < size.area || counts.isEmpty { counts.append(size.area - last) }
        self.init(unchecked: size, counts: counts)
    }

    /// Set pixels.
    public var area: Int {
        stride(from: 1, to: counts.count, by: 2).reduce(0) { $0 + counts[$1] }
    }

    /// The mask's box; all 0 for an empty mask, as in the official helpers.
    public var box: PixelBox {
        var (x0, y0, x1, y1) = (size.width, size.height, -1, -1)
        forEachRun { start, length in
            let end = start + length - 1
            let (first, last) = (start / size.height, end / size.height)
            x0 = min(x0, first)
            x1 = max(x1, last)
            // A run over several columns reaches the bottom of one and the top of the next.
            y0 = first == last ? min(y0, start % size.height) : 0
            y1 = first == last ? max(y1, end % size.height) : size.height - 1
        }
        return x1 < 0 ? PixelBox(x0: 0, y0: 0, x1: 0, y1: 0) : PixelBox(x0: x0, y0: y0, x1: x1, y1: y1)
    }

    /// The mask u8 (H, W).
    public var mask: Mask {
        var pixels = [UInt8](repeating: 0, count: size.area)
        paint(1, into: &pixels)
        return Mask(unchecked: size, pixels: pixels)
    }

    /// Writes `value` where the mask is set into `sheet` (H, W).
    func paint<Value>(_ value: Value, into sheet: inout [Value]) {
        sheet.withUnsafeMutableBufferPointer { sheet in
            forEachRun { start, length in
                var (x, y) = (start / size.height, start % size.height)
                for _ in 0..<length {
                    sheet[y * size.width + x] = value
                    y += 1
                    if y == size.height { (x, y) = (x + 1, 0) }
                }
            }
        }
    }

    /// Start (down the columns) and length of each run of 1s that is not empty.
    private func forEachRun(_ body: (Int, Int) -> Void) {
        var place = 0
        for (i, count) in counts.enumerated() {
            if i % 2 == 1, count > 0 { body(place, count) }
            place += count
        }
    }
}

/// Where the pixels of a mask change on the way down each column, above which and below which lie 0s.
private struct ColumnChanges {
    /// For each column, the rows at which a run of 1s begins or has ended, in order: y0, y1 + 1, …
    private(set) var byColumn: [[Int]]

    /// Compares whole rows, since a walk down each column of a large mask misses the cache at each pixel.
    init(_ pixels: UnsafeBufferPointer<UInt8>, _ size: PixelSize) {
        byColumn = Array(repeating: [], count: size.width)
        guard let start = pixels.baseAddress, size.area > 0 else { return }
        let zeros = [UInt8](repeating: 0, count: size.width)
        zeros.withUnsafeBufferPointer { zeros in
            guard let zeros = zeros.baseAddress else { return }
            for y in 0...size.height {
                let above = y == 0 ? zeros : start + (y - 1) * size.width
                let row = y == size.height ? zeros : start + y * size.width
                compare(above, row, width: size.width, y: y)
            }
        }
    }

    private mutating func compare(
        _ above: UnsafePointer<UInt8>, _ row: UnsafePointer<UInt8>, width: Int, y: Int
    ) {
        let step = MemoryLayout<UInt64>.size
        let (aboveBytes, rowBytes) = (UnsafeRawPointer(above), UnsafeRawPointer(row))
        var x = 0
        while x < width {
            // Rows of masks are alike in most places: eight pixels at a time.
            if x + step <= width,
                aboveBytes.loadUnaligned(fromByteOffset: x, as: UInt64.self)
                    == rowBytes.loadUnaligned(fromByteOffset: x, as: UInt64.self)
            {
                x += step
                continue
            }
            for column in x..<min(x + step, width) where above[column] != row[column] {
                byColumn[column].append(y)
            }
            x += step
        }
    }
}
