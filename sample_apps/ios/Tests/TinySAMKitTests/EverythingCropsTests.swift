import TinySAMFixtures
import XCTest

@testable import TinySAMKit

/// One test per case of `everything_crops.json`: the flat grid on the photo and its crops, as on the host.
final class EverythingCropsTests: XCTestCase {
    func testLandscape() async throws { try await check("landscape") }
    func testPortrait() async throws { try await check("portrait") }
    func testBusy() async throws { try await check("busy") }
    func testTwoLayers() async throws { try await check("two_layers") }
    func testTiedScores() async throws { try await check("tied_scores") }
    func testCovered() async throws { try await check("covered") }
    func testSmallerThanAnEdge() async throws { try await check("smaller_than_an_edge") }
    func testSmallRegions() async throws { try await check("small_regions") }
    func testBudget() async throws { try await check("budget") }

    private func check(_ name: String) async throws {
        for mode in EverythingMode.allCases {
            try await check("\(name)_\(mode.rawValue)", of: "everything_crops")
        }
    }

    func testEveryCaseHasATest() throws {
        let cases: [EverythingCase] = try cases("everything_crops")
        XCTAssertEqual(cases.count, 9 * 2, "a case was added: give it a test here")
    }

    func testCropsNeedThePhotoAndTheFlatGrid() async throws {
        let all: [EverythingCase] = try cases("everything_crops")
        let recording = try XCTUnwrap(all.first)
        let manifest = try fixtures.manifest()
        let predictor = Predictor(manifest: manifest, engine: try recording.engine(fixtures, manifest))
        let photo = try RGBImage(size: PixelSize(height: 1, width: 1), grey: [0])
        let encoded = try await predictor.encode(photo)
        var options = EverythingOptions()
        options.cropLayers = 1
        let hierarchical = EverythingGenerator(predictor: predictor, options: options)
        await assertRefused { try await hierarchical.generate(on: photo) }
        options.isHierarchical = false
        let flat = EverythingGenerator(predictor: predictor, options: options)
        await assertRefused { try await flat.generate(on: encoded) }
    }

    private func assertRefused(_ search: () async throws -> EverythingResult) async {
        do {
            _ = try await search()
            XCTFail("nothing was refused")
        } catch TinySAMError.prompt {
        } catch {
            XCTFail("\(error)")
        }
    }
}
