/// What `Mask.removingSmallRegions` takes away.
public enum RegionKind: String, Sendable {
    /// Unset regions, which are filled.
    case holes
    /// Set regions, which are dropped.
    case islands
}

extension Mask {
    /// Fills holes or drops islands of fewer than `area` pixels; 8-connected. If every island is small, the
    /// largest stays, of equal ones the first in reading order. Nil if nothing changes.
    public func removingSmallRegions(_ kind: RegionKind, below area: Int) -> Mask? {
        let regions = Regions(of: self, value: kind == .islands ? 1 : 0)
        var small = regions.areas.filter { $0.value < area }
        guard !small.isEmpty else { return nil }
        if kind == .islands, small.count == regions.areas.count {
            let largest = small.max { ($0.value, $1.key) < ($1.value, $0.key) }
            if let largest { small[largest.key] = nil }
        }
        var result = pixels
        for run in regions.runs where small[run.region] != nil {
            for x in run.columns { result[run.y * size.width + x] = kind == .holes ? 1 : 0 }
        }
        return Mask(unchecked: size, pixels: result)
    }
}

/// The 8-connected regions of pixels of one value.
private struct Regions {
    struct Run {
        let y: Int
        let columns: Range<Int>
        /// Index of the region's first run in reading order.
        var region: Int
    }

    private(set) var runs: [Run] = []

    init(of mask: Mask, value: UInt8) {
        for y in 0..<mask.size.height {
            let row = y * mask.size.width
            var x = 0
            while x < mask.size.width {
                let start = x
                while x < mask.size.width, mask.pixels[row + x] == value { x += 1 }
                if x > start { runs.append(Run(y: y, columns: start..<x, region: runs.count)) }
                x += 1
            }
        }
        connect()
    }

    /// Pixels by region.
    var areas: [Int: Int] {
        runs.reduce(into: [:]) { $0[$1.region, default: 0] += $1.columns.count }
    }

    /// Union-find over runs of neighbouring rows that touch.
    private mutating func connect() {
        var above = 0
        for i in runs.indices {
            // Runs above that end before this one begins touch no later run of this row either.
            while runs[above].y < runs[i].y - 1
                || (runs[above].y == runs[i].y - 1
                    && runs[above].columns.upperBound < runs[i].columns.lowerBound)
            {
                above += 1
            }
            var j = above
            while runs[j].y == runs[i].y - 1, runs[j].columns.lowerBound <= runs[i].columns.upperBound {
                let (left, right) = (root(i), root(j))
                runs[max(left, right)].region = min(left, right)
                j += 1
            }
        }
        for i in runs.indices { runs[i].region = root(i) }
    }

    private mutating func root(_ run: Int) -> Int {
        var run = run
        while runs[run].region != run {
            runs[run].region = runs[runs[run].region].region
            run = runs[run].region
        }
        return run
    }
}
