import Foundation
import XCTest

@testable import TinySAMKit

final class ManifestTests: XCTestCase {
    private typealias Object = [String: Any]

    private func original() throws -> Object {
        let data = try Data(contentsOf: fixtures.folder.appendingPathComponent("manifest.json"))
        return try XCTUnwrap(JSONSerialization.jsonObject(with: data) as? Object)
    }

    /// The fixtures' manifest with the value at `path` replaced, or removed if `value` is nil.
    private func changed(_ path: [String], _ value: Any?) throws -> Data {
        func change(_ object: Object, _ path: ArraySlice<String>) -> Object {
            var object = object
            guard let key = path.first else { return object }
            if path.count == 1 {
                object[key] = value
            } else {
                object[key] = change(object[key] as? Object ?? [:], path.dropFirst())
            }
            return object
        }
        return try JSONSerialization.data(withJSONObject: change(original(), path[...]))
    }

    private func assertRefused(
        _ path: [String], _ value: Any?, field: String, line: UInt = #line
    ) throws {
        let data = try changed(path, value)
        XCTAssertThrowsError(try Manifest(data: data), line: line) { error in
            guard case let TinySAMError.manifest(found, reason) = error else {
                return XCTFail("\(error)", line: line)
            }
            XCTAssertEqual(found, field, reason, line: line)
            XCTAssertFalse(reason.isEmpty, line: line)
        }
    }

    func testWhatTheHostWroteIsRead() throws {
        let manifest = try fixtures.manifest()
        let object = try original()
        let sizes = try XCTUnwrap(object["sizes"] as? [String: Int])
        XCTAssertEqual(manifest.sizes.imageSize, sizes["image_size"])
        XCTAssertEqual(manifest.sizes.slots, sizes["slots"])
        XCTAssertEqual(manifest.sizes.batch, sizes["batch"])
        XCTAssertEqual(Set(manifest.entryPoints.keys), Set(EntryPoint.allCases))
        let everything = try XCTUnwrap(object["everything"] as? [String: Double])
        XCTAssertEqual(manifest.everything.highScore, everything["high_score_thresh"].map(Float.init))
        XCTAssertEqual(manifest.masksPerPrompt, 3)
    }

    func testRulesThatNoOneKnowsAreRefusedByName() throws {
        for name in ["resize", "rounding", "filter", "point_scale", "selection", "upscale", "pad_point"] {
            try assertRefused(["rules", name], "unheard of", field: "rules.\(name)")
        }
        try assertRefused(["rules", "frame_scale"], 9, field: "rules.frame_scale")
        try assertRefused(["rules", "num_masks"], 0, field: "rules.num_masks")
        try assertRefused(["rules", "upscale_filter"], "bicubic", field: "rules.upscale_filter")
        try assertRefused(["rules", "antialias"], false, field: "rules.antialias")
        try assertRefused(["rules", "num_masks"], 4, field: "entry_points.decode.outputs")
        try assertRefused(["rules", "mask_prompts"], false, field: "entry_points.decode.inputs")
        try assertRefused(["rules", "fixed_points"], 9, field: "sizes.slots")
    }

    func testRuntimesAndRulesOfTheFastMode() throws {
        let manifest = try fixtures.manifest()
        XCTAssertEqual(manifest.runtimes["tflite"], "2.3.0")
        XCTAssertEqual(manifest.everythingSearch.fast.nearIouSlack, 0.05)
        XCTAssertEqual(manifest.everythingSearch.fast.duplicateIous, [0.97, 0.9, 0.8])
        try assertRefused(["everything_search", "fast"], nil, field: "everythingSearch.fast")
    }

    func testArtifactsOfARuntime() throws {
        let manifest = try fixtures.manifest()
        let found = try manifest.artifacts(runtime: "coreml", recipe: "fp16")
        XCTAssertEqual(Set(found.map(\.component)), [.encoder, .decoder])
        XCTAssertThrowsError(try manifest.artifacts(runtime: "coreml", recipe: "int3")) {
            XCTAssertTrue($0.localizedDescription.contains("coreml fp16"), $0.localizedDescription)
        }
    }

    func testNoJSON() {
        for text in ["", "{", "[]", "null", "nonsense", #"{"schema_version": 1}"#] {
            XCTAssertThrowsError(try Manifest(data: Data(text.utf8)), text) {
                XCTAssertTrue(isError($0) { if case .manifest = $0 { true } else { false } }, "\($0)")
            }
        }
    }

    func testACutFile() throws {
        let whole = try Data(contentsOf: fixtures.folder.appendingPathComponent("manifest.json"))
        for length in stride(from: 0, to: whole.count - 2, by: whole.count / 7) {
            XCTAssertThrowsError(try Manifest(data: whole.prefix(length)), "\(length) bytes")
        }
    }

    func testNoFile() {
        let missing = fixtures.folder.appendingPathComponent("nowhere.json")
        XCTAssertThrowsError(try Manifest(contentsOf: missing)) {
            XCTAssertTrue(isError($0) { if case .file = $0 { true } else { false } }, "\($0)")
        }
    }

    func testAnotherSchemaVersion() throws {
        try assertRefused(["schema_version"], 2, field: "schema_version")
        try assertRefused(["schema_version"], nil, field: "schemaVersion")
    }

    func testSizes() throws {
        try assertRefused(["sizes", "image_size"], nil, field: "sizes")
        try assertRefused(["sizes", "extra"], 3, field: "sizes")
        try assertRefused(["sizes", "slots"], 1, field: "sizes.slots")
        try assertRefused(["sizes", "batch"], 0, field: "sizes.batch")
        try assertRefused(["sizes", "channels"], -1, field: "sizes.channels")
        try assertRefused(["sizes", "grid_size"], 1 << 20, field: "sizes.grid_size")
        try assertRefused(["sizes", "mask_size"], "32", field: "sizes.mask_size")
        try assertRefused(["sizes", "mask_size"], 20_000, field: "sizes.mask_size")
    }

    func testRulesThatThisLibraryDoesNotImplement() throws {
        try assertRefused(["preprocess", "colour"], "BGR", field: "preprocess.colour")
        try assertRefused(["preprocess", "value_range"], [0, 1], field: "preprocess.value_range")
        try assertRefused(["preprocess", "normalised_by"], "app", field: "preprocess.normalised_by")
        try assertRefused(
            ["prompts", "point_shift_applied_by"], "app", field: "prompts.point_shift_applied_by")
        try assertRefused(["prompts", "labels"], ["1": "point"], field: "prompts.labels")
    }

    func testFieldsThatContradictSizes() throws {
        try assertRefused(["preprocess", "resize", "long_side"], 7, field: "preprocess.resize.long_side")
        try assertRefused(["prompts", "slots"], 3, field: "prompts.slots")
        try assertRefused(["postprocess", "low_res_size"], 3, field: "postprocess.low_res_size")
        try assertRefused(["entry_points", "decode", "inputs"], [], field: "entry_points.decode.inputs")
        try assertRefused(["entry_points", "decode", "outputs"], [], field: "entry_points.decode.outputs")
        try assertRefused(["entry_points", "encode", "outputs"], [], field: "entry_points.encode.outputs")
        try assertRefused(["entry_points", "decode_batch"], nil, field: "entry_points")
    }

    func testMissingParts() throws {
        try assertRefused(["preprocess"], nil, field: "preprocess")
        try assertRefused(["preprocess", "mean"], nil, field: "preprocess.mean")
        try assertRefused(["preprocess", "std"], [1], field: "preprocess.std")
        try assertRefused(["postprocess", "mask_threshold"], nil, field: "postprocess.maskThreshold")
        try assertRefused(["postprocess", "mask_threshold"], "0", field: "postprocess.maskThreshold")
        try assertRefused(["artifacts"], nil, field: "artifacts")
        try assertRefused(["checkpoint", "name"], nil, field: "checkpoint.name")
    }

    func testEverythingThresholds() throws {
        for key in ["pred_iou_thresh", "stability_score_thresh", "high_score_thresh", "box_nms_thresh"] {
            try assertRefused(["everything", key], nil, field: "everything.\(key)")
        }
        try assertRefused(["everything", "points_per_side"], 2.5, field: "everything.points_per_side")
        try assertRefused(["everything", "points_per_side"], 1, field: "everything.points_per_side")
        try assertRefused(["everything", "points_per_side"], 0, field: "everything.points_per_side")
        try assertRefused(["everything", "invented"], 1, field: "everything.invented")
        try assertRefused(["everything", "pred_iou_thresh"], true, field: "everything.pred_iou_thresh")
    }

    func testEverythingSearch() throws {
        try assertRefused(["everything_search"], nil, field: "everythingSearch")
        try assertRefused(["everything_search", "coarse_factor"], 0, field: "everything_search")
        try assertRefused(["everything_search", "offsets"], [[1]], field: "everything_search")
    }

    func testArtifactsStayInTheBundle() throws {
        let artifacts = try XCTUnwrap(original()["artifacts"] as? [Object])
        for path in ["../elsewhere.pte", "/etc/model.pte", "a/../../b", ""] {
            var bad = artifacts
            bad[0]["path"] = path
            try assertRefused(["artifacts"], bad, field: "artifacts.path")
        }
        var bad = artifacts
        bad[0]["sha256"] = "123"
        try assertRefused(["artifacts"], bad, field: "artifacts.sha256")
        bad = artifacts
        bad[1]["component"] = "middle"
        try assertRefused(["artifacts"], bad, field: "artifacts.1.component")
    }
}
