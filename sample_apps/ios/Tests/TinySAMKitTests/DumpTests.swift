import Foundation
import XCTest

@testable import TinySAMKit

final class DumpTests: XCTestCase {
    func testCRC32() {
        XCTAssertEqual(CRC32.of(Data("123456789".utf8)), 0xcbf4_3926)
        XCTAssertEqual(CRC32.of(Data()), 0)
    }

    func testAZipHoldsWhatWasPutIntoIt() throws {
        let url = try temporaryFolder(self).appendingPathComponent("a.zip")
        let zip = try ZipWriter(url)
        try zip.add("one/two.bin", Data([1, 2, 3]))
        try zip.add("empty.bin", Data())
        XCTAssertFalse(FileManager.default.fileExists(atPath: url.path), "not whole yet")
        try zip.finish()
        let bytes = [UInt8](try Data(contentsOf: url))
        XCTAssertEqual(Array(bytes.prefix(4)), [0x50, 0x4b, 3, 4])
        XCTAssertEqual(Array(bytes.suffix(22).prefix(12)), [0x50, 0x4b, 5, 6, 0, 0, 0, 0, 2, 0, 2, 0])
        let names = String(decoding: bytes, as: UTF8.self)
        XCTAssertTrue(names.contains("one/two.bin") && names.contains("empty.bin"))
    }

    func testAnArchiveThatIsGivenUpLeavesNothing() throws {
        let folder = try temporaryFolder(self)
        do {
            let zip = try ZipWriter(folder.appendingPathComponent("a.zip"))
            try zip.add("x", Data([1]))
        }
        XCTAssertEqual(try FileManager.default.contentsOfDirectory(atPath: folder.path), [])
    }

    func testNowhereToWrite() {
        XCTAssertThrowsError(try ZipWriter(URL(fileURLWithPath: "/no/such/folder/a.zip"))) {
            XCTAssertTrue(isError($0) { if case .file = $0 { true } else { false } }, "\($0)")
        }
    }

    func testTensorsOfAnotherLength() throws {
        let url = try temporaryFolder(self).appendingPathComponent("x.bin")
        try Data([0, 0, 128]).write(to: url)
        XCTAssertThrowsError(try RawTensor.floats(url, shape: [1])) {
            XCTAssertTrue($0.localizedDescription.contains("3 bytes instead of 4"), "\($0)")
        }
        try Data([0, 0, 128, 63]).write(to: url)
        XCTAssertEqual(try RawTensor.floats(url, shape: [1, 1]).values, [1])
        XCTAssertThrowsError(try RawTensor.bytes(url, shape: [3]))
        XCTAssertThrowsError(try RawTensor.bytes(url.appendingPathExtension("none"), shape: [4]))
    }

    func testTensorsKeepTheirItems() throws {
        let tensor = try FloatTensor(shape: [2, 1, 2], values: [1, 2, 3, 4])
        XCTAssertEqual(tensor.item(1), try FloatTensor(shape: [1, 2], values: [3, 4]))
        XCTAssertThrowsError(try FloatTensor(shape: [3], values: [1]))
    }

    func testAReplayWritesEveryTensor() async throws {
        let (folder, manifest) = try fixturesFolder()
        let set = try FixtureSet(folder: folder, manifest: manifest)
        let engine = ZeroEngine(manifest: manifest)
        let replay = Replay(fixtures: set, predictor: Predictor(manifest: manifest, engine: engine))
        let url = folder.appendingPathComponent("dump.zip")
        let latencies = try await replay.run(into: url) { Self.description }
        XCTAssertEqual(latencies.preprocess.count, 1)
        XCTAssertEqual(latencies.decode.count, 2)
        XCTAssertEqual(latencies.decodeBatch.count, 1)
        XCTAssertEqual(latencies.postprocess.count, 3)
        let names = String(decoding: try Data(contentsOf: url), as: UTF8.self)
        for name in ["packed_prompt", "low_res_logits", "predicted_iou", "chosen_mask", "full_size_mask"] {
            for prompt in 0..<3 {
                XCTAssertTrue(names.contains("photo_0/prompt_\(prompt)/\(name).bin"), name)
            }
        }
        XCTAssertTrue(names.contains(#""fixtures_id":"abc""#))
        XCTAssertTrue(names.contains(#""latency_ms""#))
    }

    func testFixturesOfAnotherModel() throws {
        let (folder, manifest) = try fixturesFolder(change: { $0["sizes"] = ["image_size": 3] })
        XCTAssertThrowsError(try FixtureSet(folder: folder, manifest: manifest))
    }

    func testFixturesWithStrangeNames() throws {
        let (folder, manifest) = try fixturesFolder(change: { index in
            var photos = index["photos"] as? [[String: Any]] ?? []
            photos[0]["name"] = "../../etc"
            index["photos"] = photos
        })
        XCTAssertThrowsError(try FixtureSet(folder: folder, manifest: manifest)) {
            XCTAssertTrue(isError($0) { if case .fixtures = $0 { true } else { false } }, "\($0)")
        }
    }

    func testFixturesThatAreNotThereOrOfAnotherLayout() throws {
        let manifest = try fixtures.manifest()
        XCTAssertThrowsError(try FixtureSet(folder: URL(fileURLWithPath: "/nowhere"), manifest: manifest))
        let (folder, _) = try fixturesFolder(change: { $0["layout_version"] = 2 })
        XCTAssertThrowsError(try FixtureSet(folder: folder, manifest: manifest)) {
            XCTAssertTrue($0.localizedDescription.contains("layout version 2"), "\($0)")
        }
    }

    func testFixturesWithoutTheirPixels() throws {
        let (folder, manifest) = try fixturesFolder()
        let set = try FixtureSet(folder: folder, manifest: manifest)
        try Data([1, 2]).write(to: folder.appendingPathComponent("photo_0/pixels.bin"))
        XCTAssertThrowsError(try set.image(0)) {
            XCTAssertTrue($0.localizedDescription.contains("2 bytes instead of"), "\($0)")
        }
    }

    private static let description = DumpDescription(
        device: .init(model: "test", os: "test", appVersion: "0"),
        run: .init(
            runtime: "coreml", recipe: "fp16", computeUnit: "all", thermalBefore: "nominal",
            thermalAfter: "nominal", artifactSha256: [:]
        )
    )

    /// One photo with a mask prompt and two plain prompts, for the sizes of the shared manifest.
    private func fixturesFolder(
        change: (inout [String: Any]) -> Void = { _ in }
    ) throws -> (URL, Manifest) {
        let folder = try temporaryFolder(self)
        let data = try Data(contentsOf: fixtures.folder.appendingPathComponent("manifest.json"))
        let object = try XCTUnwrap(JSONSerialization.jsonObject(with: data) as? [String: Any])
        let manifest = try Manifest(data: data)
        func prompt(_ hasMask: Bool) -> [String: Any] {
            [
                "kind": "point", "points": [1, 2], "labels": [1], "box": NSNull(), "has_mask_input": hasMask,
                "spare_xy": 3,
            ]
        }
        var index: [String: Any] = [
            "id": "abc", "layout_version": 1, "checkpoint_sha256": NSNull(), "sizes": object["sizes"] ?? [:],
            "photos": [
                [
                    "name": "photo_0", "title": "x", "height": 4, "width": 5,
                    "prompts": [prompt(true), prompt(false), prompt(false)],
                ]
            ],
            "tensors": [],
        ]
        change(&index)
        let place = folder.appendingPathComponent("photo_0/prompt_0")
        try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
        try JSONSerialization.data(withJSONObject: index)
            .write(to: folder.appendingPathComponent("fixtures.json"))
        try Data(count: 4 * 5 * 3).write(to: folder.appendingPathComponent("photo_0/pixels.bin"))
        let side = manifest.sizes.maskSize
        try Data(count: 4 * side * side).write(to: place.appendingPathComponent("mask_input.bin"))
        return (folder, manifest)
    }
}

private struct ZeroEngine: SegmentationEngine {
    let manifest: Manifest

    func encode(image: FloatTensor, validSize: PixelSize) async throws -> ImageFeatures {
        .zeros(manifest.encoderOutputs)
    }

    func decode(
        features: ImageFeatures, prompt: PackedPrompts, maskInput: FloatTensor?
    ) async throws -> DecoderAnswer { answer(.decode) }

    func decodeBatch(features: ImageFeatures, prompts: PackedPrompts) async throws -> DecoderAnswer {
        answer(.decodeBatch)
    }

    private func answer(_ entry: EntryPoint) -> DecoderAnswer {
        let shapes = manifest.entryPoints[entry]?.outputs.map(\.shape)
        return DecoderAnswer(lowResMasks: zeros(shapes?[0]), iouPredictions: zeros(shapes?[1]))
    }

    private func zeros(_ shape: [Int]?) -> FloatTensor {
        FloatTensor(shape: shape ?? []) { $0.update(repeating: 0) }
    }
}
