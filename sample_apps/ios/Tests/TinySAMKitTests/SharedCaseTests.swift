import TinySAMFixtures
import XCTest

@testable import TinySAMKit

/// Every case of the shared fixtures but those of everything mode; a failure names the case.
final class SharedCaseTests: XCTestCase {
    private struct GeometryCase: Decodable {
        let name: String
        let imageSize, height, width, validHeight, validWidth: Int
        let points, modelPoints: [Double]
        let roundTrip: [Double]?
        let rules: Rules?

        var geometry: Geometry {
            Geometry(
                originalSize: PixelSize(height: height, width: width), imageSize: imageSize,
                rules: rules ?? .sam)
        }
    }

    func testGeometryByOtherRules() throws {
        for item: GeometryCase in try cases("rules_geometry") {
            let wanted = PixelSize(height: item.validHeight, width: item.validWidth)
            XCTAssertEqual(item.geometry.validSize, wanted, item.name)
            let found = points(item.points).map(item.geometry.toModel)
            XCTAssertEqual(flat(found), item.modelPoints, item.name)
            for (back, point) in zip(flat(found.map(item.geometry.toOriginal)), item.points) {
                XCTAssertEqual(back, point, accuracy: 1e-9, item.name)
            }
        }
    }

    func testValidSizes() throws {
        for item: GeometryCase in try cases("geometry") {
            let wanted = PixelSize(height: item.validHeight, width: item.validWidth)
            XCTAssertEqual(item.geometry.validSize, wanted, item.name)
        }
    }

    func testPointsToTheModelsFrame() throws {
        for item: GeometryCase in try cases("geometry") {
            let found = points(item.points).map(item.geometry.toModel)
            XCTAssertEqual(flat(found), item.modelPoints, item.name)
        }
    }

    func testPointsBackToThePhoto() throws {
        for item: GeometryCase in try cases("geometry") {
            let found = points(item.modelPoints).map(item.geometry.toOriginal)
            XCTAssertEqual(flat(found), item.roundTrip, item.name)
        }
    }

    private struct ResizeCase: Decodable {
        let name: String
        let imageSize: Int
        let pixels, resized: SharedFixtures.Tensor
        let square: SharedFixtures.Tensor?
        let rules: Rules?
    }

    /// Of values to 255: f32 sums in another order (docs/app_fixtures.md).
    private static let floatSteps: Float = 1e-3

    func testResizeByOtherRules() throws {
        for item: ResizeCase in try cases("rules_resize") {
            let (photo, rules) = (try fixtures.image(item.pixels), try XCTUnwrap(item.rules))
            let target = Geometry(originalSize: photo.size, imageSize: item.imageSize, rules: rules).validSize
            XCTAssertEqual([target.height, target.width, 3], item.resized.shape, item.name)
            switch PhotoResize(from: photo.size, to: target, rules: rules)(photo.pixels) {
            case let .whole(pixels): XCTAssertEqual(pixels, try fixtures.bytes(item.resized), item.name)
            case let .floats(pixels):
                let wanted = try fixtures.floats(item.resized).values
                XCTAssertEqual(pixels.count, wanted.count, item.name)
                let error = zip(pixels, wanted).reduce(0) { max($0, abs($1.0 - $1.1)) }
                XCTAssertLessThanOrEqual(error, Self.floatSteps, item.name)
            }
        }
    }

    func testResizeIsPillows() throws {
        for item: ResizeCase in try cases("resize") {
            let photo = try fixtures.image(item.pixels)
            let target = Geometry(originalSize: photo.size, imageSize: item.imageSize).validSize
            let found = WholeResize(from: photo.size, to: target)(photo.pixels)
            XCTAssertEqual([target.height, target.width, 3], item.resized.shape, item.name)
            XCTAssertEqual(found, try fixtures.bytes(item.resized), item.name)
        }
    }

    func testPaddedSquares() throws {
        let withSquare = (try cases("resize") as [ResizeCase]).filter { $0.square != nil }
        XCTAssertFalse(withSquare.isEmpty)
        for item in withSquare {
            let square = try XCTUnwrap(item.square)
            let preprocess = Preprocessor(imageSize: item.imageSize, padValue: 0)
            let found = preprocess(try fixtures.image(item.pixels)).image
            XCTAssertEqual(found.shape, [1] + square.shape, item.name)
            XCTAssertEqual(found.values, try fixtures.bytes(square).map(Float.init), item.name)
        }
    }

    private struct OrientationCase: Decodable {
        let name: String
        let orientation: Int
        let pixels, upright: SharedFixtures.Tensor
    }

    func testOrientations() throws {
        for item: OrientationCase in try cases("orientation") {
            let found = try fixtures.image(item.pixels).upright(from: EXIFOrientation(exif: item.orientation))
            XCTAssertEqual(found, try fixtures.image(item.upright), item.name)
        }
    }

    private struct PostprocessCase: Decodable {
        let name: String
        let imageSize, height, width, best: Int
        let lowRes, masks: SharedFixtures.Tensor
        let scores: [Float]
        let rules: Rules?

        var geometry: Geometry {
            Geometry(
                originalSize: PixelSize(height: height, width: width), imageSize: imageSize,
                rules: rules ?? .sam)
        }
    }

    private static let tie: UInt8 = 2

    func testFullSizeMasks() throws { try checkMasks("postprocess") }
    func testFullSizeMasksByOtherRules() throws { try checkMasks("rules_postprocess") }

    private func checkMasks(_ topic: String) throws {
        let threshold = try fixtures.manifest().postprocess.maskThreshold
        for item: PostprocessCase in try cases(topic) {
            let size = PixelSize(height: item.height, width: item.width)
            let logits = try fixtures.floats(item.lowRes)
            let upscaler = MaskUpscaler(geometry: item.geometry, maskSize: logits.shape[1])
            let wanted = try fixtures.bytes(item.masks)
            for index in 0..<logits.shape[0] {
                let found = upscaler.mask(logits, at: index, above: threshold).pixels
                let wrong = found.indices.filter {
                    let value = wanted[index * size.area + $0]
                    return value != Self.tie && value != found[$0]
                }
                XCTAssertEqual(wrong.count, 0, "\(item.name), mask \(index)")
            }
        }
    }

    func testBestMask() throws {
        let both: [PostprocessCase] = try cases("postprocess") + cases("rules_postprocess")
        for item in both {
            let low = LowResolution(
                logits: try fixtures.floats(item.lowRes), scores: item.scores,
                selection: item.rules?.selection ?? .predictedIoU)
            XCTAssertEqual(low.best, item.best, item.name)
        }
    }

    private struct StabilityCase: Decodable {
        let name: String
        let logits: SharedFixtures.Tensor
        let threshold, offset, stability: Float
    }

    func testStability() throws {
        for item: StabilityCase in try cases("stability") {
            let logits = try fixtures.floats(item.logits).values
            let found = stabilityScore(logits, threshold: item.threshold, offset: item.offset)
            XCTAssertEqual(found, item.stability, item.name)
        }
    }

    private struct RegionCase: Decodable {
        let name: String
        let mask, cleaned: SharedFixtures.Tensor
        let area: Int
        let mode: String
        let changed: Bool
    }

    func testSmallHoles() throws { try checkRegions(.holes) }
    func testSmallIslands() throws { try checkRegions(.islands) }

    private func checkRegions(_ kind: RegionKind) throws {
        let chosen = (try cases("small_regions") as [RegionCase]).filter { $0.mode == kind.rawValue }
        XCTAssertFalse(chosen.isEmpty)
        for item in chosen {
            let mask = try fixtures.mask(item.mask)
            let found = mask.removingSmallRegions(kind, below: item.area)
            XCTAssertEqual(found != nil, item.changed, item.name)
            XCTAssertEqual(found ?? mask, try fixtures.mask(item.cleaned), item.name)
        }
    }

    private struct SuppressionCase: Decodable {
        let name: String
        let boxes: [Double]
        let scores: [Float]
        let iouThreshold: Float
        let kept: [Int]
    }

    func testBoxSuppression() throws {
        for item: SuppressionCase in try cases("nms") {
            let boxes = stride(from: 0, to: item.boxes.count, by: 4).map {
                Box(
                    x0: item.boxes[$0], y0: item.boxes[$0 + 1], x1: item.boxes[$0 + 2], y1: item.boxes[$0 + 3]
                )
            }
            let kept = nonMaximumSuppression(
                boxes: boxes, scores: item.scores, iouThreshold: item.iouThreshold)
            XCTAssertEqual(kept, item.kept, item.name)
        }
    }

    private struct LatticeCase: Decodable {
        let name, kind: String
        let pointsPerSide, height, width: Int
        let points: [Double]
        let done: SharedFixtures.Tensor?
        let left: [Double]?
    }

    func testFlatLattice() throws { try checkLattice("flat", \.flat) }
    func testCoarseLattice() throws { try checkLattice("coarse", \.coarse) }
    func testSecondRound() throws { try checkLattice("second_round", \.secondRound) }

    private func checkLattice(_ kind: String, _ points: KeyPath<PointLattice, [Point]>) throws {
        let chosen = (try cases("lattice") as [LatticeCase]).filter { $0.kind == kind }
        XCTAssertFalse(chosen.isEmpty)
        for item in chosen {
            let found = try lattice(item)[keyPath: points]
            XCTAssertEqual(flat(found), item.points, item.name)
        }
    }

    func testPointsLeftByADoneMap() throws {
        let chosen = (try cases("lattice") as [LatticeCase]).filter { $0.done != nil }
        XCTAssertFalse(chosen.isEmpty)
        for item in chosen {
            let done = try fixtures.bytes(XCTUnwrap(item.done))
            let left = try lattice(item).secondRound.filter { done[Int($0.y) * item.width + Int($0.x)] == 0 }
            XCTAssertEqual(flat(left), item.left, item.name)
        }
    }

    private func lattice(_ item: LatticeCase) throws -> PointLattice {
        PointLattice(
            rules: try fixtures.manifest().everythingSearch, pointsPerSide: item.pointsPerSide,
            size: PixelSize(height: item.height, width: item.width)
        )
    }
}
