import Foundation
import TinySAMFixtures
import XCTest

@testable import TinySAMKit

/// The shared fixtures, found from this file upwards, or where TINYSAM_GOLDEN says.
let fixtures: SharedFixtures = {
    if let folder = ProcessInfo.processInfo.environment["TINYSAM_GOLDEN"] {
        return SharedFixtures(folder: URL(fileURLWithPath: folder))
    }
    var place = URL(fileURLWithPath: #filePath)
    repeat {
        place.deleteLastPathComponent()
        let folder = place.appendingPathComponent("tests/golden/apps")
        if FileManager.default.fileExists(atPath: folder.path) { return SharedFixtures(folder: folder) }
    } while place.path != "/"
    fatalError("no tests/golden/apps above \(#filePath): run the tests in the repository")
}()

func cases<Case: Decodable>(_ topic: String) throws -> [Case] {
    let cases: [Case] = try fixtures.cases(topic)
    XCTAssertFalse(cases.isEmpty, "\(topic).json has no cases")
    return cases
}

func points(_ flat: [Double]) -> [Point] {
    stride(from: 0, to: flat.count, by: 2).map { Point(x: flat[$0], y: flat[$0 + 1]) }
}

func flat(_ points: [Point]) -> [Double] { points.flatMap { [$0.x, $0.y] } }

extension SharedFixtures {
    /// u8 (H, W).
    func mask(_ tensor: Tensor) throws -> Mask {
        try Mask(size: PixelSize(height: tensor.shape[0], width: tensor.shape[1]), pixels: bytes(tensor))
    }

    /// u8 (H, W, 3) or (H, W).
    func image(_ tensor: Tensor) throws -> RGBImage {
        let size = PixelSize(height: tensor.shape[0], width: tensor.shape[1])
        let pixels = try bytes(tensor)
        return try tensor.shape.count == 2
            ? RGBImage(size: size, grey: pixels) : RGBImage(size: size, pixels: pixels)
    }
}

/// Whether `error` is a `TinySAMError` of the kind that `isKind` accepts.
func isError(_ error: any Error, _ isKind: (TinySAMError) -> Bool) -> Bool {
    (error as? TinySAMError).map(isKind) ?? false
}

/// A folder for one test.
func temporaryFolder(_ test: XCTestCase) throws -> URL {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    test.addTeardownBlock { try? FileManager.default.removeItem(at: folder) }
    return folder
}
