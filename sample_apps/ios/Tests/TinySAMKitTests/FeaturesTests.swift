import Foundation
import Synchronization
import TinySAMFixtures
import XCTest

@testable import TinySAMKit

/// A model whose encoder returns two feature maps that no code here knows by name.
final class FeaturesTests: XCTestCase {
    private static let extra: [(name: String, shape: [Int])] = [
        ("made_up_map", [1, 4, 6, 6]), ("other", [1, 2, 3, 3]),
    ]

    /// The shared manifest with two more encoder outputs, which every decoder takes after the embedding.
    private func manifest(_ extra: [(name: String, shape: [Int])] = extra) throws -> Manifest {
        let data = try Data(contentsOf: fixtures.folder.appendingPathComponent("manifest.json"))
        var object = try XCTUnwrap(JSONSerialization.jsonObject(with: data) as? [String: Any])
        var entries = try XCTUnwrap(object["entry_points"] as? [String: [String: Any]])
        let maps = extra.map { ["name": $0.name, "shape": $0.shape, "dtype": "float32"] as [String: Any] }
        for (entry, list) in [("encode", "outputs"), ("decode", "inputs"), ("decode_batch", "inputs")] {
            var tensors = try XCTUnwrap(entries[entry]?[list] as? [[String: Any]])
            tensors.insert(contentsOf: maps, at: 1)
            entries[entry]?[list] = tensors
        }
        object["entry_points"] = entries
        return try Manifest(data: JSONSerialization.data(withJSONObject: object))
    }

    func testWhateverTheEncoderReturnsReachesTheDecoder() async throws {
        let manifest = try manifest()
        let engine = CountingEngine(manifest: manifest)
        let predictor = Predictor(manifest: manifest, engine: engine)
        let size = PixelSize(height: 20, width: 30)
        let image = try await predictor.encode(
            RGBImage(size: size, grey: Array(repeating: 9, count: size.area)))
        let prompt = try Prompt(points: [PromptPoint(x: 1, y: 1)])
        _ = try await predictor.predict(prompt, on: image)
        _ = try await predictor.decodeBatch([prompt], on: image)
        let scores = try await predictor.scoreBatch([prompt], on: image)
        XCTAssertEqual(scores, [[1, 1, 1]])
        // Feature maps are for masks alone.
        XCTAssertEqual(manifest.entryPoints[.scoreBatch]?.inputs.map(\.name).first, "image_embeddings")
        XCTAssertEqual(manifest.entryPoints[.scoreBatch]?.inputs.count, 3)
        for entry in [EntryPoint.decode, .decodeBatch] {
            let given = try XCTUnwrap(engine.given(entry))
            let signature = try XCTUnwrap(manifest.entryPoints[entry])
            let ordered = try signature.ordered(given)
            for (index, spec) in manifest.encoderOutputs.enumerated() {
                guard case let .floats(tensor) = ordered[index] else {
                    return XCTFail("\(spec.name) is no float")
                }
                XCTAssertEqual(tensor.shape, spec.shape)
                XCTAssertEqual(tensor[0], Float(index + 1), "\(spec.name) of \(entry)")
            }
        }
    }

    func testFeaturesGoThroughOneArrayAndBack() throws {
        let specs = try manifest().encoderOutputs
        let features = CountingEngine.numbered(specs)
        let joined = try features.joined(as: specs)
        XCTAssertEqual(joined.shape, [64 * 8 * 8 + 4 * 6 * 6 + 2 * 3 * 3])
        XCTAssertEqual(joined[64 * 8 * 8], 2)
        XCTAssertEqual(try ImageFeatures(joined: joined, as: specs), features)
        XCTAssertThrowsError(try ImageFeatures(joined: joined.item(0), as: specs))
        XCTAssertThrowsError(try ImageFeatures(values: [:]).joined(as: specs))
        XCTAssertEqual(ImageFeatures.joinedShape(of: [specs[0]]), [64, 8, 8])
    }

    func testAModelThatGivesFewerFeaturesThanItsManifestIsRefused() async throws {
        let predictor = Predictor(
            manifest: try manifest(), engine: CountingEngine(manifest: try fixtures.manifest()))
        let size = PixelSize(height: 2, width: 3)
        do {
            _ = try await predictor.encode(RGBImage(size: size, grey: [1, 2, 3, 4, 5, 6]))
            XCTFail("nothing was thrown")
        } catch {
            XCTAssertTrue(error.localizedDescription.contains("gave no made_up_map"), "\(error)")
        }
    }

    func testImpossibleFeatures() {
        for shape in [[1, -2], [1 << 31, 1 << 31, 1 << 31], [0]] {
            XCTAssertThrowsError(try manifest([("x", shape)]), "\(shape)")
        }
        XCTAssertThrowsError(try manifest([("same", [1]), ("same", [1])]))
    }
}

/// Answers zeros, its features filled with 1, 2, 3 in their order, and keeps what it was given.
private final class CountingEngine: EntryPointEngine {
    let maskSize: Int
    private let manifest: Manifest
    private let calls = Mutex<[EntryPoint: [String: EntryPointInput]]>([:])

    init(manifest: Manifest) {
        self.manifest = manifest
        maskSize = manifest.sizes.maskSize
    }

    func given(_ entry: EntryPoint) -> [String: EntryPointInput]? { calls.withLock { $0[entry] } }

    func has(_ entry: EntryPoint) -> Bool { true }

    func run(_ entry: EntryPoint, _ inputs: [String: EntryPointInput]) async throws -> [String: FloatTensor] {
        calls.withLock { $0[entry] = inputs }
        return Self.numbered(manifest.entryPoints[entry]?.outputs ?? []).values
    }

    static func numbered(_ specs: [TensorSpec]) -> ImageFeatures {
        let tensors = specs.enumerated().map { index, spec in
            (spec.name, FloatTensor(shape: spec.shape) { $0.update(repeating: Float(index + 1)) })
        }
        return ImageFeatures(values: Dictionary(uniqueKeysWithValues: tensors))
    }
}
