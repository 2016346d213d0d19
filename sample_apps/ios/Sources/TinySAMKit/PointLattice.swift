/// The search of everything mode as the manifest gives it.
public struct EverythingSearchRules: Decodable, Equatable, Sendable {
    /// Round 1 takes every `coarseFactor`-th point of the grid in each direction.
    public let coarseFactor: Int
    /// Round 2 around each coarse point: pairs x, y in steps of the lattice, in the order of their visit.
    public let offsets: [[Int]]
    /// Least box IoU at which masks that were cleaned of small regions count as duplicates.
    public let cropNmsThresh: Float

    /// The same search with another threshold.
    public func with(cropNmsThresh: Float) -> EverythingSearchRules {
        EverythingSearchRules(coarseFactor: coarseFactor, offsets: offsets, cropNmsThresh: cropNmsThresh)
    }

    func check(_ thresholds: EverythingThresholds) throws {
        guard coarseFactor > 0, offsets.allSatisfy({ $0.count == 2 }) else {
            throw TinySAMError.manifest(
                field: "everything_search", reason: "needs a positive coarse_factor and offsets in pairs x, y"
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
    public var coarse: [Point] { grid(pointsPerSide / rules.coarseFactor) }

    /// Round 2: around each coarse point, multiples of whole steps, inside the photo. This lattice is the
    /// official code's, not that of `flat`.
    public var secondRound: [Point] {
        let stepX = size.width / pointsPerSide
        let stepY = size.height / pointsPerSide
        return coarse.flatMap { centre in
            rules.offsets.map { offset in
                Point(x: centre.x + Double(offset[0] * stepX), y: centre.y + Double(offset[1] * stepY))
            }
        }
        .filter { $0.x < Double(size.width) && $0.y < Double(size.height) }
    }

    private func grid(_ side: Int) -> [Point] {
        let centres = (0..<side).map { (Double($0) + pixelCentre) / Double(side) }
        return centres.flatMap { y in
            centres.map { x in Point(x: x * Double(size.width), y: y * Double(size.height)) }
        }
    }
}
