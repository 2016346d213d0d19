/// The search of everything mode as the manifest gives it.
public struct EverythingSearchRules: Decodable, Equatable, Sendable {
    /// Round 1 takes every `coarseFactor`-th point of the grid in each direction.
    public let coarseFactor: Int
    /// Round 2 around each coarse point: pairs x, y in steps of the lattice, in the order of their visit.
    public let offsets: [[Int]]
    /// Least box IoU at which masks that were cleaned of small regions count as duplicates.
    /// The same between masks of different crops.
    public let cropNmsThresh: Float
    /// How far the crops of the first layer overlap, in parts of the photo's short side.
    public let cropOverlapRatio: Double
    /// A box this near to a crop's edge, and not to the photo's, is taken to be cut.
    public let cropEdgePixels: Int
    public let fast: FastSearchRules

    /// The same search with another threshold, or other rules of the fast mode.
    public func with(cropNmsThresh: Float, fast: FastSearchRules? = nil) -> EverythingSearchRules {
        EverythingSearchRules(
            coarseFactor: coarseFactor, offsets: offsets, cropNmsThresh: cropNmsThresh,
            cropOverlapRatio: cropOverlapRatio, cropEdgePixels: cropEdgePixels, fast: fast ?? self.fast
        )
    }

    func check(_ thresholds: EverythingThresholds) throws {
        guard coarseFactor > 0, offsets.allSatisfy({ $0.count == 2 }) else {
            throw TinySAMError.manifest(
                field: "everything_search", reason: "needs a positive coarse_factor and offsets in pairs x, y"
            )
        }
        guard cropEdgePixels >= 0, (0...1).contains(cropOverlapRatio) else {
            throw TinySAMError.manifest(
                field: "everything_search",
                reason: "needs crop_edge_pixels from 0 on and a crop_overlap_ratio from 0 to 1"
            )
        }
        guard thresholds.pointsPerSide >= coarseFactor else {
            throw TinySAMError.manifest(
                field: "everything.points_per_side",
                reason: "must be at least everything_search.coarse_factor, \(coarseFactor)"
            )
        }
    }
}

/// What the fast mode may leave out; the host's `segment/everything.py` says why each is as it is.
public struct FastSearchRules: Decodable, Equatable, Sendable {
    /// A point of the second round's chessboard is decoded if a neighbour's best predicted IoU lacks at most this.
    public let nearIouSlack: Double
    /// Where scores come first, a point is decoded if its best one lacks at most this: the decoder's decide.
    public let scoreSlack: Double
    /// Cells kept around a mask that waits for its full size.
    public let windowMarginCells: Int
    /// Of masks that wait; beyond that near-duplicates go early …
    public let maxWaitingBytes: Int
    /// … above these box IoUs, one after the other until it is enough.
    public let duplicateIous: [Double]
    /// Rough boxes decide over an overlap only this far from the threshold.
    public let boxMargin: Double
    /// A rough stability is measured again if it is nearer than this over √cells to its threshold.
    public let stabilityMarginCells: Double
}

/// A point of a lattice and its place in it, of which neighbours differ by 1.
struct LatticePoint: Sendable {
    struct Cell: Hashable, Sendable {
        let column: Int
        let row: Int

        /// The eight cells around this one.
        var neighbours: [Cell] {
            (-1...1).flatMap { x in (-1...1).map { y in Cell(column: column + x, row: row + y) } }
                .filter { $0 != self }
        }
    }

    let point: Point
    let cell: Cell

    /// Of the chessboard's two colours.
    var isWhite: Bool { (cell.column + cell.row).isMultiple(of: 2) }
}

/// Where everything mode puts its points on a photo: x, y in its pixels, in the order of their visit.
public struct PointLattice: Sendable {
    private let rules: EverythingSearchRules
    private let pointsPerSide: Int
    private let size: PixelSize

    public init(rules: EverythingSearchRules, pointsPerSide: Int, size: PixelSize) {
        self.rules = rules
        self.pointsPerSide = pointsPerSide
        self.size = size
    }

    /// SAM's grid: centres of pointsPerSide² equal rectangles, row by row, x fastest.
    public var flat: [Point] { grid(pointsPerSide) }

    /// Round 1 of the hierarchical mode.
    public var coarse: [Point] { coarseLattice.map(\.point) }

    /// Round 1, at every `coarseFactor`-th cell of the lattice.
    var coarseLattice: [LatticePoint] {
        let side = pointsPerSide / rules.coarseFactor
        return grid(side).enumerated().map { index, point in
            let (row, column) = index.quotientAndRemainder(dividingBy: side)
            let cell = LatticePoint.Cell(column: column * rules.coarseFactor, row: row * rules.coarseFactor)
            return LatticePoint(point: point, cell: cell)
        }
    }

    /// Round 2: around each coarse point, multiples of whole steps, inside the photo. This lattice is the
    /// official code's, not that of `flat`.
    public var secondRound: [Point] { secondRoundLattice.map(\.point) }

    var secondRoundLattice: [LatticePoint] {
        let stepX = size.width / pointsPerSide
        let stepY = size.height / pointsPerSide
        return coarseLattice.flatMap { centre in
            rules.offsets.map { offset in
                LatticePoint(
                    point: Point(
                        x: centre.point.x + Double(offset[0] * stepX),
                        y: centre.point.y + Double(offset[1] * stepY)
                    ),
                    cell: .init(column: centre.cell.column + offset[0], row: centre.cell.row + offset[1])
                )
            }
        }
        .filter { $0.point.x < Double(size.width) && $0.point.y < Double(size.height) }
    }

    private func grid(_ side: Int) -> [Point] {
        let centres = (0..<side).map { (Double($0) + pixelCentre) / Double(side) }
        return centres.flatMap { y in
            centres.map { x in Point(x: x * Double(size.width), y: y * Double(size.height)) }
        }
    }
}
