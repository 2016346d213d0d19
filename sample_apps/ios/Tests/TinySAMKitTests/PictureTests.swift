import TinySAMFixtures
import XCTest

@testable import TinySAMKit

final class PictureTests: XCTestCase {
    private let size = PixelSize(height: 2, width: 3)

    private func object(_ pixels: [UInt8], score: Float = 1) throws -> SegmentedObject {
        let runs = RunLengths(try Mask(size: size, pixels: pixels))
        return SegmentedObject(
            runs: runs, box: runs.box, score: score, stability: 1, point: Point(x: 0, y: 0), maskIndex: 0
        )
    }

    private struct DifferenceCase: Decodable {
        let name: String
        let longestSide: Int
        let photo: SharedFixtures.Tensor
        let mask: SharedFixtures.Tensor
        let reference: SharedFixtures.Tensor
        let picture: SharedFixtures.Tensor
    }

    func testDifferencesAreDrawnAsOnTheHost() throws {
        let all: [DifferenceCase] = try cases("difference")
        for expected in all {
            let picture = try Overlay.difference(
                of: fixtures.mask(expected.mask), from: fixtures.mask(expected.reference),
                over: fixtures.image(expected.photo), longestSide: expected.longestSide
            )
            XCTAssertEqual(picture, try fixtures.image(expected.picture), expected.name)
        }
    }

    func testAMaskOfAnotherSizeHasNoDifference() throws {
        let photo = try RGBImage(size: PixelSize(height: 1, width: 1), grey: [0])
        let mask = try Mask(size: size, pixels: Array(repeating: 0, count: size.area))
        XCTAssertThrowsError(try Overlay.difference(of: mask, from: mask, over: photo))
    }

    func testImagesOfAnotherLength() {
        for (height, width, samples) in [
            (2, 3, 17), (2, 3, 19), (0, 3, 0), (2, 0, 0), (-2, -3, 18), (.max, 2, 0),
        ] {
            let size = PixelSize(height: height, width: width)
            XCTAssertThrowsError(try RGBImage(size: size, pixels: Array(repeating: 0, count: samples))) {
                XCTAssertTrue(isError($0) { if case .image = $0 { true } else { false } }, "\($0)")
            }
        }
    }

    func testMasksOfAnotherLength() {
        XCTAssertThrowsError(try Mask(size: size, pixels: [1]))
        XCTAssertEqual(try Mask(size: size, pixels: [0, 1, 2, 255, 0, 0]).pixels, [0, 1, 1, 1, 0, 0])
    }

    func testAResizedPhotoOfAnotherSize() throws {
        let preprocess = Preprocessor(imageSize: 4, padValue: 0)
        let geometry = Geometry(originalSize: size, imageSize: 4)
        let image = try RGBImage(size: size, grey: [1, 2, 3, 4, 5, 6])
        XCTAssertThrowsError(try preprocess.prepared(image, geometry: geometry))
        let right = try RGBImage(
            size: geometry.validSize, grey: Array(repeating: 7, count: geometry.validSize.area))
        let prepared = try preprocess.prepared(right, geometry: geometry).image.values
        XCTAssertEqual(prepared.filter { $0 == 7 }.count, 3 * geometry.validSize.area)
    }

    func testSmallObjectsLieOverLargeOnes() throws {
        let small = try object([0, 1, 0, 0, 0, 0])
        let large = try object([1, 1, 1, 0, 0, 0])
        XCTAssertEqual(try LabelMap([small, large], size: size).labels, [2, 1, 2, 0, 0, 0])
        XCTAssertEqual(try LabelMap([large, small], size: size).labels, [1, 2, 1, 0, 0, 0])
    }

    func testOfEqualAreasTheHigherScoreThenTheEarlierIsOnTop() throws {
        let low = try object([1, 1, 0, 0, 0, 0], score: 0.5)
        let high = try object([0, 1, 1, 0, 0, 0], score: 0.6)
        XCTAssertEqual(try LabelMap([low, high], size: size).labels, [1, 2, 2, 0, 0, 0])
        let same = try object([0, 1, 1, 0, 0, 0], score: 0.5)
        XCTAssertEqual(try LabelMap([low, same], size: size).labels, [1, 1, 2, 0, 0, 0])
    }

    func testAnObjectOfAnotherPhoto() throws {
        let other = PixelSize(height: 3, width: 2)
        XCTAssertThrowsError(try LabelMap([object([1, 0, 0, 0, 0, 0])], size: other))
        let photo = try RGBImage(size: other, grey: Array(repeating: 0, count: 6))
        let mask = try Mask(size: size, pixels: [1, 0, 0, 0, 0, 0])
        XCTAssertThrowsError(try Overlay.draw(mask, over: photo, colour: SIMD3(1, 2, 3)))
    }

    func testOverlayMixesColoursAndDrawsEdges() throws {
        let photo = try RGBImage(size: PixelSize(height: 1, width: 4), grey: [100, 100, 100, 100])
        let mask = try Mask(size: photo.size, pixels: [1, 1, 0, 0])
        let drawn = try Overlay.draw(mask, over: photo, colour: SIMD3(0, 51, 255))
        let white: [UInt8] = [255, 255, 255]
        XCTAssertEqual(drawn.pixels, [50, 75, 177] + white + [100, 100, 100] + [100, 100, 100])
    }

    /// The same numbers as `tinysam_mobile.imaging.pictures.distinct_colours(6)`.
    func testColoursAreTheHosts() {
        let wanted: [SIMD3<UInt8>] = [
            SIMD3(255, 63, 63), SIMD3(10, 66, 204), SIMD3(191, 242, 121), SIMD3(255, 63, 231),
            SIMD3(10, 204, 171), SIMD3(242, 186, 121),
        ]
        XCTAssertEqual((0..<6).map(Overlay.distinctColour), wanted)
    }

    func testPPM() throws {
        let image = try RGBImage(size: PixelSize(height: 1, width: 2), pixels: [1, 2, 3, 4, 5, 6])
        XCTAssertEqual(image.ppm, Data("P6\n2 1\n255\n".utf8) + Data([1, 2, 3, 4, 5, 6]))
    }
}
