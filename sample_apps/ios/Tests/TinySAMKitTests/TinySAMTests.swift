import Foundation
import Synchronization
import TinySAMFixtures
import XCTest

@testable import TinySAMKit

/// The library in one object, on the recordings of everything mode.
final class TinySAMTests: XCTestCase {
    private func recorded(_ name: String = "hierarchical_landscape") throws -> (TinySAM, EncodedImage) {
        let all: [EverythingCase] = try cases("everything_fast")
        let found = try XCTUnwrap(all.first { $0.name == name })
        let manifest = try fixtures.manifest()
        let engine = try found.engine(fixtures, manifest)
        let geometry = Geometry(originalSize: found.size, imageSize: manifest.sizes.imageSize)
        let image = EncodedImage(features: ImageFeatures(values: [:]), geometry: geometry)
        return (TinySAM(manifest: manifest, engine: engine), image)
    }

    func testBeforeThePhotoThereIsNothingToPrompt() async throws {
        let (sam, _) = try recorded()
        do {
            _ = try await sam.mask(at: Point(x: 1, y: 1))
            XCTFail("there was no photo")
        } catch {
            XCTAssertTrue(isError(error) { if case .prompt = $0 { true } else { false } })
        }
    }

    func testAMaskOfATapIsTheBestOfThePrediction() async throws {
        let manifest = try fixtures.manifest()
        let sam = TinySAM(manifest: manifest, engine: DiscEngine(manifest: manifest))
        let size = PixelSize(height: 41, width: 61)
        try await sam.setPhoto(RGBImage(size: size, grey: Array(repeating: 9, count: size.area)))
        let mask = try await sam.mask(at: Point(x: 20, y: 20))
        let prediction = try await sam.predict(Prompt(points: [PromptPoint(x: 20, y: 20)]))
        XCTAssertEqual(mask, prediction.mask(prediction.best))
        XCTAssertGreaterThan(mask.area, 0)
        let boxed = try await sam.mask(in: Box(x0: 1, y0: 1, x1: 30, y1: 30))
        XCTAssertEqual(boxed, mask)
    }

    func testALayerHasTheMasksPixels() async throws {
        let manifest = try fixtures.manifest()
        let sam = TinySAM(manifest: manifest, engine: DiscEngine(manifest: manifest))
        let size = PixelSize(height: 41, width: 61)
        try await sam.setPhoto(RGBImage(size: size, grey: Array(repeating: 9, count: size.area)))
        let prediction = try await sam.predict(Prompt(points: [PromptPoint(x: 20, y: 20)]))
        let (plain, layer) = (prediction.mask(0), prediction.mask(0, inside: Mask.opaque))
        XCTAssertEqual(layer.pixels, plain.pixels.map { $0 == 1 ? 255 : 0 })
        XCTAssertEqual(try plain.agreement(with: layer), 1)
        XCTAssertEqual(layer.area, plain.area)
    }

    func testTheStreamReportsProgressAndEndsWithTheResult() async throws {
        let manifest = try fixtures.manifest()
        let sam = TinySAM(manifest: manifest, engine: DiscEngine(manifest: manifest))
        let size = PixelSize(height: 41, width: 61)
        let image = try await sam.setPhoto(RGBImage(size: size, grey: Array(repeating: 9, count: size.area)))
        var events: [SearchEvent] = []
        var options = EverythingOptions()
        options.maxDecoderCalls = 3
        for try await event in try await sam.everything(options) { events.append(event) }
        let generator = EverythingGenerator(predictor: sam.predictor, options: options)
        let expected = try await generator.generate(on: image)
        XCTAssertEqual(events.last, .finished(expected))
        XCTAssertEqual(events.count, expected.decoderCalls + 1)
        XCTAssertGreaterThan(expected.objects.count, 0)
    }

    func testAStoppedSearchEndsWithWhatItFound() async throws {
        let manifest = try fixtures.manifest()
        let sam = TinySAM(manifest: manifest, engine: DiscEngine(manifest: manifest))
        let size = PixelSize(height: 41, width: 61)
        try await sam.setPhoto(RGBImage(size: size, grey: Array(repeating: 9, count: size.area)))
        let asked = Mutex(0)
        let events = try await sam.everything {
            asked.withLock { count in
                count += 1
                return count > 2
            }
        }
        var last: SearchEvent?
        for try await event in events { last = event }
        guard case let .finished(result) = last else { return XCTFail("the search gave no result") }
        XCTAssertTrue(result.stoppedEarly)
        XCTAssertEqual(result.decoderCalls, 2)
        XCTAssertFalse(result.objects.isEmpty)
    }

    func testAReaderThatStopsReadingEndsTheSearch() async throws {
        let manifest = try fixtures.manifest()
        let engine = DiscEngine(manifest: manifest)
        let sam = TinySAM(manifest: manifest, engine: engine)
        let size = PixelSize(height: 41, width: 61)
        try await sam.setPhoto(RGBImage(size: size, grey: Array(repeating: 9, count: size.area)))
        for try await _ in try await sam.everything() { break }
        try await Task.sleep(for: .milliseconds(50))
        let calls = engine.calls.value
        try await Task.sleep(for: .milliseconds(50))
        XCTAssertEqual(engine.calls.value, calls)
    }

    func testRecordedSearchesAreThoseOfTheGenerator() async throws {
        let (sam, image) = try recorded("no_survivor")
        await sam.setPhoto(image)
        var options = EverythingOptions()
        options.maxDecoderCalls = 0
        var last: SearchEvent?
        for try await event in try await sam.everything(options) { last = event }
        guard case let .finished(result) = last else { return XCTFail("the search gave no result") }
        XCTAssertTrue(result.stoppedEarly && result.objects.isEmpty)
    }
}

/// Answers the same disc to every prompt, and counts.
private struct DiscEngine: SegmentationEngine {
    final class Calls: Sendable {
        private let count = Mutex(0)
        var value: Int { count.withLock { $0 } }
        func add() { count.withLock { $0 += 1 } }
    }

    let manifest: Manifest
    let calls = Calls()

    func encode(image: FloatTensor, validSize: PixelSize) async throws -> ImageFeatures {
        .zeros(manifest.encoderOutputs)
    }

    func decode(
        features: ImageFeatures, prompt: PackedPrompts, maskInput: FloatTensor?
    ) async throws -> DecoderAnswer {
        try await decodeBatch(features: features, prompts: prompt)
    }

    func decodeBatch(features: ImageFeatures, prompts: PackedPrompts) async throws -> DecoderAnswer {
        calls.add()
        let (side, masks) = (manifest.sizes.maskSize, manifest.masksPerPrompt)
        let logits = FloatTensor(shape: [prompts.count, masks, side, side]) { values in
            for i in values.indices {
                let isInside = (4...10).contains(i % side) && (4...10).contains(i / side % side)
                // Steep, so that it is stable.
                values[i] = isInside ? 300 : -300
            }
        }
        let scores = FloatTensor(shape: [prompts.count, masks]) { $0.update(repeating: 0.95) }
        return DecoderAnswer(lowResMasks: logits, iouPredictions: scores)
    }
}
