import CoreGraphics
import Foundation
import Observation
import Synchronization
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
    private(set) var engine = EngineChoice.all
    /// Photos of the fixtures that were replayed; nil if nothing is being replayed.
    private(set) var replayedPhotos: Int?
    private(set) var dump: URL?
    /// What each engine took; nil if none are compared.
    private(set) var comparison: [ComparisonRow]?

    private let load: @Sendable (EngineChoice) async throws -> BundledModel
    private var model: BundledModel?
    /// The one thing that runs: another one ends it.
    private var work: Task<Void, Never>?
    /// Points and box before each step, for undo.
    private var earlier: [(points: [PromptPoint], box: Box?)] = []
    private var search: StopSign?

    /// `load` opens a model; a test gives another one.
    init(load: @escaping @Sendable (EngineChoice) async throws -> BundledModel = BundledModel.load) {
        self.load = load
    }

    var canUndo: Bool { !earlier.isEmpty }
    var canReplay: Bool { model?.hasFixtures ?? false }

    func loadModel() async {
        guard model == nil else { return }
        choose(engine)
        await work?.value
    }

    /// Opens another engine; the photo stays.
    func choose(_ choice: EngineChoice) {
        let photo = photo
        engine = choice
        forgetPrompt()
        state = .loadingModel
        start { session in
            do {
                session.model = nil
                let loaded = try await session.load(choice)
                session.model = loaded
                session.times = [StepTime(step: "load", milliseconds: loaded.loadMilliseconds)]
                session.state = .waitingForPhoto
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                session.state = .unavailable(reason: error.localizedDescription)
                return
            }
            if let photo { try await session.encode(photo) }
        }
    }

    private var photo: Photo? {
        switch state {
        case let .encoding(photo), let .prompting(photo, _, _): photo
        default: nil
        }
    }

    /// Starts again with another photo; `read` gives its pixels and may take a while.
    func open(_ read: @escaping @Sendable () async throws -> RGBImage) {
        guard model != nil else { return }
        clearPrompt()
        start { session in
            let image = try await read()
            guard let picture = image.cgImage else {
                throw TinySAMError.image(
                    reason: String(localized: "there is not enough memory to show it; take a smaller one"))
            }
            try Task.checkCancellation()
            try await session.encode(Photo(image: image, picture: picture))
        }
    }

    private func encode(_ photo: Photo) async throws {
        guard let model else { return }
        state = .encoding(photo)
        let encoded = try await timed("encode") { try await model.predictor.encode(photo.image) }
        try Task.checkCancellation()
        state = .prompting(photo, encoded, .nothing)
    }

    /// A tap at `location`, in pixels of the photo.
    func tap(_ location: Point, isForeground: Bool) {
        let point = PromptPoint(x: location.x, y: location.y, isForeground: isForeground)
        ask(points + [point], box)
    }

    /// A box from one corner to the opposite one, in pixels of the photo.
    func drag(from first: Point, to second: Point) {
        let dragged = Box(
            x0: min(first.x, second.x), y0: min(first.y, second.y), x1: max(first.x, second.x),
            y1: max(first.y, second.y)
        )
        ask(points, dragged)
    }

    /// Takes the last tap or box back.
    func undo() {
        guard let last = earlier.popLast() else { return }
        (points, box) = last
        if points.isEmpty, box == nil { showNothing() } else { predict(refines: false) }
    }

    /// Back to the photo alone.
    func clearPrompt() {
        forgetPrompt()
        showNothing()
    }

    private func forgetPrompt() {
        points = []
        box = nil
        earlier = []
    }

    private func showNothing() {
        work?.cancel()
        if case let .prompting(photo, encoded, _) = state { state = .prompting(photo, encoded, .nothing) }
    }

    /// Takes the prompt if the model can, which is seen at once.
    private func ask(_ newPoints: [PromptPoint], _ newBox: Box?) {
        guard let model, case .prompting = state else { return }
        let manifest = model.predictor.manifest
        let slots = manifest.rules.fixedPoints > 0 ? manifest.rules.fixedPoints : manifest.sizes.slots
        do {
            guard try Prompt(points: newPoints, box: newBox).slotCount(manifest.rules) <= slots else {
                message = String(
                    localized:
                        "This model takes no more taps: a prompt has \(slots) slots, of which a box takes two and the end one. Undo a tap, or clear."
                )
                return
            }
        } catch {
            message = error.localizedDescription
            return
        }
        earlier.append((points, box))
        (points, box) = (newPoints, newBox)
        predict(refines: refinesMask)
    }

    private func predict(refines: Bool) {
        guard let model, case let .prompting(photo, encoded, answer) = state else { return }
        let (points, box) = (points, box)
        var maskPrompt: FloatTensor?
        if refines, case let .mask(last, _) = answer {
            maskPrompt = last.lowResolution.maskPrompt(last.best)
        }
        start { [maskPrompt] session in
            let prompt = try Prompt(points: points, box: box)
            let prediction = try await session.timed("decode") {
                try await model.predictor.predict(prompt, on: encoded, refining: maskPrompt)
            }
            let layer = try await session.timed("mask") { try await Self.layer(of: prediction) }
            try Task.checkCancellation()
            session.state = .prompting(photo, encoded, .mask(prediction, layer: layer))
        }
    }

    /// Finds every object; `cancel` ends the search.
    func findEverything() {
        guard let model, case let .prompting(photo, encoded, _) = state else { return }
        clearPrompt()
        let stop = StopSign()
        search = stop
        state = .prompting(photo, encoded, .searching(nil))
        start { session in
            let generator = EverythingGenerator(predictor: model.predictor)
            let result = try await session.timed("everything") {
                try await generator.generate(on: encoded) { progress in
                    Task { @MainActor in session.show(progress, of: stop) }
                } isStopped: {
                    stop.isSet
                }
            }
            let picture = try await Self.picture(result.objects, photo.image)
            try Task.checkCancellation()
            session.search = nil
            session.state = .prompting(
                photo, encoded,
                .objects(count: result.objects.count, stoppedEarly: result.stoppedEarly, picture: picture)
            )
        }
    }

    /// Reports may arrive after the result, or after another search has begun.
    private func show(_ progress: EverythingProgress, of stop: StopSign) {
        guard search === stop, case let .prompting(photo, encoded, .searching) = state else { return }
        state = .prompting(photo, encoded, .searching(progress))
    }

    /// Ends the search; what it found so far is shown.
    func cancel() { search?.set() }

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

    /// Runs the photo on every engine, one after the other.
    func compareEngines() {
        guard let photo else { return }
        comparison = []
        start { session in
            try await Comparison(load: session.load).run(photo.image) { row in
                session.comparison?.append(row)
            }
        }
    }

    func endComparison() {
        work?.cancel()
        comparison = nil
    }

    /// Runs `body` after what was running has been told to stop, and shows what it throws.
    private func start(_ body: @escaping @MainActor (SegmentationModel) async throws -> Void) {
        work?.cancel()
        work = Task {
            do {
                try await body(self)
            } catch is CancellationError {
                // Something else was asked for, and has set the state.
            } catch {
                if !Task.isCancelled { failed(error) }
            }
        }
    }

    private func failed(_ error: any Error) {
        message = error.localizedDescription
        switch state {
        case .encoding: state = .waitingForPhoto
        case let .prompting(photo, encoded, .searching): state = .prompting(photo, encoded, .nothing)
        default: break
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

    /// Off the main thread: a photo of 12 megapixels is upscaled here.
    private nonisolated static func layer(of prediction: Prediction) async throws -> CGImage {
        guard let layer = prediction.mask(prediction.best, inside: Mask.opaque).layer else {
            throw TinySAMError.image(reason: String(localized: "there is not enough memory to show the mask"))
        }
        return layer
    }

    private nonisolated static func picture(
        _ objects: [SegmentedObject], _ photo: RGBImage
    ) async throws -> CGImage {
        guard let picture = try Overlay.draw(LabelMap(objects, size: photo.size), over: photo).cgImage else {
            throw TinySAMError.image(reason: String(localized: "there is not enough memory to show the mask"))
        }
        return picture
    }
}

/// Set once, on any thread, by whoever wants a search to end.
final class StopSign: Sendable {
    private let sign = Mutex(false)

    var isSet: Bool { sign.withLock { $0 } }

    func set() { sign.withLock { $0 = true } }
}
