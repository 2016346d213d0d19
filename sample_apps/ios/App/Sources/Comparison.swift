import CoreGraphics
import Foundation
import TinySAMCoreML
import TinySAMKit

/// What one engine took on the photo, in milliseconds, or why it could not.
struct ComparisonRow: Identifiable, Sendable {
    struct Times: Sendable {
        let load: Double
        let encode: Double
        let decode: Double
        let everything: Double
        let objects: Int
        /// IoU of the middle's mask with that of the CPU, or of the first engine that ran.
        let agreement: Double
        /// Where the two differ; nil where there is no memory to draw it.
        let difference: CGImage?
        let thermalState: ProcessInfo.ThermalState
    }

    let engine: EngineChoice
    let result: Result<Times, any Error>

    var id: EngineChoice { engine }
}

/// Runs one photo on every engine that the app has, one after the other.
struct Comparison: Sendable {
    let load: @Sendable (EngineChoice) async throws -> BundledModel

    /// `show` gets a row after each engine; one that fails is a row too. Throws `CancellationError`.
    @MainActor
    func run(_ photo: RGBImage, _ show: (ComparisonRow) -> Void) async throws {
        var reference: Mask?
        // The CPU computes in float32 or as the model says, and the same on every phone.
        let engines = EngineChoice.allCases
        for engine in engines.filter({ $0 == .cpu }) + engines.filter({ $0 != .cpu }) {
            do {
                let (times, mask) = try await times(engine, photo, reference)
                reference = reference ?? mask
                show(ComparisonRow(engine: engine, result: .success(times)))
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                show(ComparisonRow(engine: engine, result: .failure(error)))
            }
        }
    }

    private nonisolated func times(
        _ engine: EngineChoice, _ photo: RGBImage, _ reference: Mask?
    ) async throws -> (ComparisonRow.Times, Mask) {
        let model = try await load(engine)
        let predictor = model.predictor
        let (encoded, encode) = try await timed { try await predictor.encode(photo) }
        let middle = try Prompt(
            points: [PromptPoint(x: Double(photo.size.width) / 2, y: Double(photo.size.height) / 2)]
        )
        // The first call of an entry point is slow, and no user's.
        _ = try await predictor.predict(middle, on: encoded)
        let (prediction, decode) = try await timed { try await predictor.predict(middle, on: encoded) }
        let mask = prediction.mask(prediction.best)
        let (found, everything) = try await timed {
            try await EverythingGenerator(predictor: predictor).generate(on: encoded)
        }
        let times = ComparisonRow.Times(
            load: model.loadMilliseconds, encode: encode, decode: decode, everything: everything,
            objects: found.objects.count, agreement: try mask.agreement(with: reference ?? mask),
            difference: try Overlay.difference(of: mask, from: reference ?? mask, over: photo).cgImage,
            thermalState: ProcessInfo.processInfo.thermalState
        )
        return (times, mask)
    }

    private nonisolated func timed<Value: Sendable>(
        _ body: @Sendable () async throws -> Value
    ) async rethrows -> (Value, Double) {
        let start = ContinuousClock.now
        let value = try await body()
        return (value, (ContinuousClock.now - start).milliseconds)
    }
}
