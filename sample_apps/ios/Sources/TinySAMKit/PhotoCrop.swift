/// One part of a photo that everything mode looks at on its own.
struct PhotoCrop: Equatable, Sendable {
    /// 0 for the whole photo.
    let layer: Int
    let window: PixelWindow

    /// Segment Anything's crops of a photo, the whole first: layer i has 2ⁱ x 2ⁱ that overlap by `overlapRatio` of the
    /// short side over 2ⁱ⁻¹ (arXiv 2304.02643, appendix B).
    static func all(of size: PixelSize, layers: Int, overlapRatio: Double) -> [PhotoCrop] {
        var crops = [PhotoCrop(layer: 0, window: .whole(size))]
        for layer in 0..<layers {
            let count = 2 << layer
            let overlap = Int(overlapRatio * Double(min(size.height, size.width)) * (2 / Double(count)))
            func length(_ side: Int) -> Int { (overlap * (count - 1) + side + count - 1) / count }
            func part(_ index: Int, of side: Int) -> Range<Int> {
                let start = (length(side) - overlap) * index
                return start..<min(start + length(side), side)
            }
            for column in 0..<count {
                for row in 0..<count {
                    let window = PixelWindow(
                        rows: part(row, of: size.height), columns: part(column, of: size.width)
                    )
                    crops.append(PhotoCrop(layer: layer + 1, window: window))
                }
            }
        }
        return crops
    }

    var corner: Point { Point(x: Double(window.columns.lowerBound), y: Double(window.rows.lowerBound)) }

    /// A mask of this crop as one of the photo.
    func placed(_ found: SegmentedObject, in photo: PixelSize) -> SegmentedObject {
        guard photo != window.size else { return found }
        let (x, y) = (window.columns.lowerBound, window.rows.lowerBound)
        let runs = found.runs.mask.pixels.withUnsafeBufferPointer {
            RunLengths(window: window, pixels: $0, size: photo)
        }
        let box = PixelBox(
            x0: found.box.x0 + x, y0: found.box.y0 + y, x1: found.box.x1 + x, y1: found.box.y1 + y
        )
        return SegmentedObject(
            runs: runs, box: box, score: found.score, stability: found.stability, point: found.point,
            maskIndex: found.maskIndex
        )
    }

    /// Whether a mask's box, in pixels of the crop, ends at an edge of the crop inside the photo.
    func cuts(_ box: PixelBox, in photo: PixelSize, edge: Int) -> Bool {
        let (x, y) = (window.columns, window.rows)
        let sides = [
            (box.x0 + x.lowerBound, x.lowerBound, 0), (box.y0 + y.lowerBound, y.lowerBound, 0),
            (box.x1 + x.lowerBound, x.upperBound, photo.width),
            (box.y1 + y.lowerBound, y.upperBound, photo.height),
        ]
        return sides.contains { end, ofCrop, ofPhoto in
            abs(end - ofCrop) <= edge && abs(end - ofPhoto) > edge
        }
    }
}

extension EverythingGenerator {
    /// The flat grid on every crop, then an NMS that prefers masks of smaller crops.
    func generateInCrops(
        of photo: RGBImage, _ progress: @Sendable (EverythingProgress) -> Void,
        _ isStopped: @escaping @Sendable () -> Bool
    ) async throws -> EverythingResult {
        guard !options.isHierarchical, options.cropPointsDownscale > 0 else {
            throw TinySAMError.prompt(
                reason: "crops belong to the flat grid: set isHierarchical to false, cropPointsDownscale to 1"
            )
        }
        let crops = PhotoCrop.all(
            of: photo.size, layers: options.cropLayers, overlapRatio: rules.cropOverlapRatio
        )
        var search: EverythingSearch?
        var found: [(object: SegmentedObject, area: Int)] = []
        for crop in crops {
            if search?.mustStop() == true { break }
            let image = try await predictor.encode(photo.cropped(to: crop.window))
            let judge = judge(image.geometry, watched: [])
            var here: EverythingSearch
            if let search { here = search } else { here = await self.search(image, judge, isStopped) }
            here.turn(to: image, at: crop.corner, judge: judge)
            let objects = judge.finished(try await here.decode(points(in: crop), progress).candidates)
            search = here
            found += objects.filter { !crop.cuts($0.box, in: photo.size, edge: rules.cropEdgePixels) }
                .map { (crop.placed($0, in: photo.size), crop.window.size.area) }
        }
        guard let search else { preconditionFailure("the whole photo is the first crop") }
        return result(of: search, merged(found))
    }

    private func points(in crop: PhotoCrop) -> [Point] {
        let divisor = (0..<crop.layer).reduce(1) { product, _ in product * options.cropPointsDownscale }
        let side = max(1, thresholds.pointsPerSide / divisor)
        return PointLattice(rules: rules, pointsPerSide: side, size: crop.window.size).flat
    }

    private func merged(_ found: [(object: SegmentedObject, area: Int)]) -> [SegmentedObject] {
        // Ranks instead of areas, which float32 may not tell apart.
        let areas = Set(found.map(\.area)).sorted(by: >)
        let ranks = found.map { found in Float(areas.firstIndex(of: found.area) ?? 0) }
        return nonMaximumSuppression(
            boxes: found.map(\.object.box), scores: ranks, iouThreshold: rules.cropNmsThresh
        ).map { found[$0].object }
    }
}
