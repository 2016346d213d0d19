import CoreGraphics
import Foundation
import Observation
import TinySAMCoreML
import TinySAMKit

/// What the user did, and what follows from it.
@MainActor
@Observable
final class SegmentationModel {
    private(set) var state = SegmentationState.loadingModel
    private(set) var points: [PromptPoint] = []
    private(set) var box: Box?
    private(set) var times: [StepTime] = []
    /// The last thing that went wrong; set to nil once it was read.
    var message: String?
    /// Whether the next prompt refines the mask that is shown.
    var refinesMask = true
    /// Photos of the fixtures that were replayed; nil if nothing is being replayed.
    private(set) var replayedPhotos: Int?
    private(set) var dump: URL?

    private var model: BundledModel?
    private var work: Task<Void, Never>?

    func loadModel() async {
        guard model == nil else { return }
        do {
            let loaded = try await BundledModel.load()
            model = loaded
            times = [StepTime(step: "load", milliseconds: loaded.loadMilliseconds)]
            state = .waitingForPhoto
        } catch {
            state = .unavailable(reason: error.localizedDescription)
        }
    }

    /// Starts again with another photo; `read` gives its pixels and may take a while.
    func open(_ read: @escaping @Sendable () async throws -> RGBImage) {
        guard let model else { return }
        clearPrompt()
        start { session in
            let image = try await read()
            guard let picture = image.cgImage else {
                throw TinySAMError.image(reason: "there is not enough memory to show it; take a smaller one")
            }
            let photo = Photo(image: image, picture: picture)
            session.state = .encoding(photo)
            let encoded = try await session.timed("encode") { try await model.predictor.encode(image) }
            session.state = .prompting(photo, encoded, .nothing)
        }
    }

    /// A tap at `location`, in pixels of the photo.
    func tap(_ location: Point, isForeground: Bool) {
        points.append(PromptPoint(x: location.x, y: location.y, isForeground: isForeground))
        predict()
    }

    /// A box from one corner to the opposite one, in pixels of the photo.
    func drag(from first: Point, to second: Point) {
        box = Box(
            x0: min(first.x, second.x), y0: min(first.y, second.y), x1: max(first.x, second.x),
            y1: max(first.y, second.y)
        )
        predict()
    }

    func clearPrompt() {
        work?.cancel()
        points = []
        box = nil
        if case let .prompting(photo, encoded, _) = state { state = .prompting(photo, encoded, .nothing) }
    }

    private func predict() {
        guard let model, case let .prompting(photo, encoded, answer) = state else { return }
        let (points, box) = (points, box)
        var maskPrompt: FloatTensor?
        if refinesMask, case let .mask(last, _) = answer {
            maskPrompt = last.lowResolution.maskPrompt(last.best)
        }
        start { [maskPrompt] session in
            let prompt = try Prompt(points: points, box: box)
            let prediction = try await session.timed("decode") {
                try await model.predictor.predict(prompt, on: encoded, refining: maskPrompt)
            }
            let picture = try await session.timed("mask") { try await Self.picture(prediction, photo.image) }
            try Task.checkCancellation()
            session.state = .prompting(photo, encoded, .mask(prediction, picture: picture))
        }
    }

    /// Finds every object; `cancel` ends the search.
    func findEverything() {
        guard let model, case let .prompting(photo, encoded, _) = state else { return }
        clearPrompt()
        start { session in
            let generator = EverythingGenerator(predictor: model.predictor)
            let result = try await session.timed("everything") {
                try await generator.generate(on: encoded) { progress in
                    Task { @MainActor in session.show(progress) }
                }
            }
            let picture = try await Self.picture(result.objects, photo.image)
            session.state = .prompting(
                photo, encoded,
                .objects(count: result.objects.count, stoppedEarly: result.stoppedEarly, picture: picture)
            )
        }
    }

    private func show(_ progress: EverythingProgress) {
        // Reports may arrive after the result.
        guard case let .prompting(photo, encoded, answer) = state else { return }
        switch answer {
        case .nothing, .searching: state = .prompting(photo, encoded, .searching(progress))
        case .mask, .objects: break
        }
    }

    func cancel() {
        work?.cancel()
        clearPrompt()
    }

    /// Replays the fixtures that the app carries; `dump` is then the file to share.
    func replayFixtures() {
        guard let model else { return }
        dump = nil
        replayedPhotos = 0
        start { session in
            defer { session.replayedPhotos = nil }
            session.dump = try await DeviceDump(model: model).write { photos in
                Task { @MainActor in
                    if session.replayedPhotos != nil { session.replayedPhotos = photos }
                }
            }
        }
    }

    /// Runs `body` after what was running has been told to stop, and shows what it throws.
    private func start(_ body: @escaping @MainActor (SegmentationModel) async throws -> Void) {
        work?.cancel()
        work = Task {
            do {
                try await body(self)
            } catch is CancellationError {
                // The user has asked for it.
            } catch {
                message = error.localizedDescription
                if case .encoding = state { state = .waitingForPhoto }
            }
        }
    }

    private func timed<Result: Sendable>(
        _ step: String, _ body: @Sendable () async throws -> Result
    ) async rethrows -> Result {
        let start = ContinuousClock.now
        let result = try await body()
        let time = StepTime(step: step, milliseconds: (ContinuousClock.now - start).milliseconds)
        times = times.filter { $0.step != step } + [time]
        return result
    }

    /// Off the main thread: a photo of 12 megapixels is upscaled, coloured and wrapped here.
    private nonisolated static func picture(
        _ prediction: Prediction, _ photo: RGBImage
    ) async throws -> CGImage {
        let colour = Overlay.distinctColour(0)
        return try shown(Overlay.draw(prediction.mask(prediction.best), over: photo, colour: colour))
    }

    private nonisolated static func picture(
        _ objects: [SegmentedObject], _ photo: RGBImage
    ) async throws -> CGImage {
        try shown(Overlay.draw(LabelMap(objects, size: photo.size), over: photo))
    }

    private nonisolated static func shown(_ image: RGBImage) throws -> CGImage {
        guard let picture = image.cgImage else {
            throw TinySAMError.image(reason: "there is not enough memory to show the mask")
        }
        return picture
    }
}
