import Foundation
import XCTest

@testable import TinySAMKit

/// An engine that answers with a ramp and counts nothing: what is asked is what is looked at.
private struct RampEngine: SegmentationEngine {
    let manifest: Manifest
    var gridSize: Int?
    var scores: [Float] = [0.1, 0.9, 0.5]
    var answersNaN = false

    func encode(image: FloatTensor, validSize: PixelSize) async throws -> ImageFeatures {
        let grid = gridSize ?? manifest.sizes.gridSize
        let shape = [1, manifest.sizes.channels, grid, grid]
        let embedding = FloatTensor(shape: shape) { $0.update(repeating: 1) }
        return ImageFeatures(values: [TensorName.imageEmbeddings: embedding])
    }

    func decode(
        features: ImageFeatures, prompt: PackedPrompts, maskInput: FloatTensor?
    ) async throws -> DecoderAnswer {
        answer(rows: 1, plus: maskInput?[0] ?? 0)
    }

    func decodeBatch(features: ImageFeatures, prompts: PackedPrompts) async throws -> DecoderAnswer {
        answer(rows: prompts.count, plus: 0)
    }

    private func answer(rows: Int, plus: Float) -> DecoderAnswer {
        let side = manifest.sizes.maskSize
        let logits = FloatTensor(shape: [rows, scores.count, side, side]) { values in
            for i in values.indices {
                values[i] = answersNaN ? .nan : Float(i % side) - Float(side) / 2 + plus
            }
        }
        let found = FloatTensor(shape: [rows, scores.count]) { values in
            for i in values.indices { values[i] = scores[i % scores.count] }
        }
        return DecoderAnswer(lowResMasks: logits, iouPredictions: found)
    }
}

final class PredictorTests: XCTestCase {
    private func photo(_ height: Int = 20, _ width: Int = 30) throws -> RGBImage {
        try RGBImage(
            size: PixelSize(height: height, width: width), grey: Array(repeating: 9, count: height * width))
    }

    func testTheBestMaskIsThatOfTheHighestScore() async throws {
        let manifest = try fixtures.manifest()
        let predictor = Predictor(manifest: manifest, engine: RampEngine(manifest: manifest))
        let image = try await predictor.encode(photo())
        let prediction = try await predictor.predict(Prompt(points: [PromptPoint(x: 1, y: 1)]), on: image)
        XCTAssertEqual(prediction.best, 1)
        XCTAssertEqual(prediction.mask(1).size, PixelSize(height: 20, width: 30))
        XCTAssertEqual(prediction.mask(1).pixels.first, 0)
        XCTAssertEqual(prediction.mask(1).pixels.last, 1)
    }

    func testOfEqualScoresTheFirstIsBest() {
        let logits = FloatTensor(shape: [1]) { $0[0] = 0 }
        XCTAssertEqual(LowResolution(logits: logits, scores: [0.5, 0.7, 0.7]).best, 1)
    }

    func testRefinementPutsTheMaskBackIntoTheDecoder() async throws {
        let manifest = try fixtures.manifest()
        let predictor = Predictor(manifest: manifest, engine: RampEngine(manifest: manifest))
        let image = try await predictor.encode(photo())
        let prompt = try Prompt(points: [PromptPoint(x: 1, y: 1)])
        let first = try await predictor.predict(prompt, on: image)
        let mask = first.lowResolution.maskPrompt(first.best)
        let second = try await predictor.predict(prompt, on: image, refining: mask)
        XCTAssertEqual(second.lowResolution.logits[0], first.lowResolution.logits[0] + mask[0])
        let alone = try await predictor.predict(Prompt(), on: image, refining: mask)
        XCTAssertEqual(alone.lowResolution, second.lowResolution)
    }

    func testMaskPromptsOfAnotherShapeOrNotFinite() async throws {
        let manifest = try fixtures.manifest()
        let predictor = Predictor(manifest: manifest, engine: RampEngine(manifest: manifest))
        let image = try await predictor.encode(photo())
        let side = manifest.sizes.maskSize
        let flat = FloatTensor(shape: [side, side]) { $0.update(repeating: 0) }
        let notFinite = FloatTensor(shape: [1, 1, side, side]) { $0.update(repeating: .nan) }
        for bad in [flat, notFinite] {
            await assertPromptError { try await predictor.predict(Prompt(), on: image, refining: bad) }
        }
    }

    func testNothingToPredictFrom() async throws {
        let manifest = try fixtures.manifest()
        let predictor = Predictor(manifest: manifest, engine: RampEngine(manifest: manifest))
        let image = try await predictor.encode(photo())
        await assertPromptError { try await predictor.predict(Prompt(), on: image) }
        await assertPromptError { try await predictor.decodeBatch([Prompt()], on: image) }
    }

    func testTooManyPromptsForOneCall() async throws {
        let manifest = try fixtures.manifest()
        let predictor = Predictor(manifest: manifest, engine: RampEngine(manifest: manifest))
        let image = try await predictor.encode(photo())
        let prompts = try (0...manifest.sizes.batch).map { _ in try Prompt(points: [PromptPoint(x: 1, y: 1)])
        }
        await assertPromptError { try await predictor.decodeBatch(prompts, on: image) }
    }

    func testAnEngineOfAnotherModelIsFoundOut() async throws {
        let manifest = try fixtures.manifest()
        let other = Predictor(manifest: manifest, engine: RampEngine(manifest: manifest, gridSize: 3))
        await assertEngineError { try await other.encode(photo()) }
        let fewer = Predictor(manifest: manifest, engine: RampEngine(manifest: manifest, scores: [1]))
        let image = try await fewer.encode(photo())
        await assertEngineError {
            try await fewer.predict(Prompt(points: [PromptPoint(x: 1, y: 1)]), on: image)
        }
    }

    func testLogitsThatAreNoNumbersGiveAnEmptyMask() async throws {
        let manifest = try fixtures.manifest()
        let predictor = Predictor(
            manifest: manifest, engine: RampEngine(manifest: manifest, answersNaN: true))
        let image = try await predictor.encode(photo())
        let prediction = try await predictor.predict(Prompt(points: [PromptPoint(x: 1, y: 1)]), on: image)
        XCTAssertEqual(prediction.mask(prediction.best).area, 0)
        let result = try await EverythingGenerator(predictor: predictor).generate(on: image)
        XCTAssertEqual(result.objects, [])
    }

    func testACancelledSearchStops() async throws {
        let manifest = try fixtures.manifest()
        let predictor = Predictor(manifest: manifest, engine: RampEngine(manifest: manifest))
        let image = try await predictor.encode(photo())
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await EverythingGenerator(predictor: predictor).generate(on: image)
        }
        do {
            _ = try await task.value
            XCTFail("a cancelled search gave a result")
        } catch {
            XCTAssertTrue(error is CancellationError, "\(error)")
        }
    }

    func testProgressCountsEveryPoint() async throws {
        let manifest = try fixtures.manifest()
        let predictor = Predictor(manifest: manifest, engine: RampEngine(manifest: manifest))
        let image = try await predictor.encode(photo())
        let reports = Reports()
        let result = try await EverythingGenerator(predictor: predictor).generate(on: image) {
            reports.add($0)
        }
        let all = reports.all
        XCTAssertEqual(all.count, result.decoderCalls)
        XCTAssertEqual(all.last?.decodedPoints, result.points.count)
        XCTAssertEqual(all.last?.waitingPoints, 0)
    }

    func testATimeBudgetEndsTheSearch() async throws {
        let manifest = try fixtures.manifest()
        let predictor = Predictor(manifest: manifest, engine: RampEngine(manifest: manifest))
        let image = try await predictor.encode(photo())
        var options = EverythingOptions()
        options.timeBudget = .zero
        let result = try await EverythingGenerator(predictor: predictor, options: options).generate(on: image)
        XCTAssertTrue(result.stoppedEarly)
        XCTAssertEqual(result.decoderCalls, 0)
    }

    func testAScoreMustBeAboveTheThreshold() async throws {
        let manifest = try fixtures.manifest()
        let thresholds = try EverythingThresholds([
            "points_per_side": 4, "pred_iou_thresh": 0.75, "stability_score_thresh": 0.5,
            "stability_score_offset": 1, "high_score_thresh": 100, "box_nms_thresh": 0.7,
        ])
        for (score, isFound) in [(Float(0.75), false), (Float(0.75).nextUp, true)] {
            let engine = RampEngine(manifest: manifest, scores: [0, score, 0])
            let predictor = Predictor(manifest: manifest, engine: engine)
            let generator = EverythingGenerator(predictor: predictor, thresholds: thresholds)
            let result = try await generator.generate(on: predictor.encode(photo()))
            XCTAssertEqual(!result.objects.isEmpty, isFound, "\(score)")
        }
    }

    private func assertPromptError(_ body: () async throws -> some Any, line: UInt = #line) async {
        await assertError(body, line: line) { if case .prompt = $0 { true } else { false } }
    }

    private func assertEngineError(_ body: () async throws -> some Any, line: UInt = #line) async {
        await assertError(body, line: line) { if case .engine = $0 { true } else { false } }
    }

    private func assertError(
        _ body: () async throws -> some Any, line: UInt, isKind: (TinySAMError) -> Bool
    ) async {
        do {
            _ = try await body()
            XCTFail("nothing was thrown", line: line)
        } catch {
            XCTAssertTrue(isError(error, isKind), "\(error)", line: line)
        }
    }
}

/// Progress as it came, from any thread.
private final class Reports: @unchecked Sendable {
    private let lock = NSLock()
    private var reports: [EverythingProgress] = []

    func add(_ report: EverythingProgress) { lock.withLock { reports.append(report) } }
    var all: [EverythingProgress] { lock.withLock { reports } }
}
