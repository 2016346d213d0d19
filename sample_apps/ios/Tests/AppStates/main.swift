// The states of the app, on Linux: the view model as it is, on an engine that answers when it is told to.
//
// check-platform compiles this with Tests/AppleStubs and runs it; XCTest is not there without Apple's frameworks.
import CoreGraphics
import Foundation
import Synchronization
import TinySAMCoreML
import TinySAMKit

/// Answers a disc to every prompt, when it is let.
final class HeldEngine: SegmentationEngine {
    private struct Gate {
        var isOpen = true
        var fails = false
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let manifest: Manifest
    private let gate = Mutex(Gate())

    init(manifest: Manifest) { self.manifest = manifest }

    func hold() { gate.withLock { $0.isOpen = false } }

    func fail() { gate.withLock { $0.fails = true } }

    func release() {
        let waiting = gate.withLock { gate in
            gate.isOpen = true
            defer { gate.waiting = [] }
            return gate.waiting
        }
        for continuation in waiting { continuation.resume() }
    }

    private func pass() async throws {
        await withCheckedContinuation { continuation in
            let isOpen = gate.withLock { gate in
                if !gate.isOpen { gate.waiting.append(continuation) }
                return gate.isOpen
            }
            if isOpen { continuation.resume() }
        }
        if gate.withLock({ $0.fails }) { throw TinySAMError.engine(reason: "the engine is gone") }
    }

    func encode(image: FloatTensor, validSize: PixelSize) async throws -> ImageFeatures {
        .zeros(manifest.encoderOutputs)
    }

    func decode(
        features: ImageFeatures, prompt: PackedPrompts, maskInput: FloatTensor?
    ) async throws -> DecoderAnswer {
        try await decodeBatch(features: features, prompts: prompt)
    }

    func decodeBatch(features: ImageFeatures, prompts: PackedPrompts) async throws -> DecoderAnswer {
        try await pass()
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

/// One view model on one engine.
@MainActor
struct World {
    let engine: HeldEngine
    let model: SegmentationModel

    init(failing: EngineChoice? = nil) throws {
        // Fewer points than a model's own, so that a search takes a moment.
        let text = try String(contentsOfFile: "../../tests/golden/apps/manifest.json", encoding: .utf8)
            .replacingOccurrences(of: "\"points_per_side\": 32", with: "\"points_per_side\": 8")
        let manifest = try Manifest(data: Data(text.utf8))
        let engine = HeldEngine(manifest: manifest)
        self.engine = engine
        model = SegmentationModel { choice in
            if choice == failing { throw TinySAMError.engine(reason: "this phone has none") }
            return BundledModel(
                predictor: Predictor(manifest: manifest, engine: engine),
                folder: URL(fileURLWithPath: "/nowhere"),
                runtime: "coreml", recipe: "fp16", computeUnit: "all", loadMilliseconds: 1
            )
        }
    }

    func openPhoto() async throws {
        await model.loadModel()
        model.open {
            let size = PixelSize(height: 41, width: 61)
            return try RGBImage(size: size, grey: Array(repeating: 9, count: size.area))
        }
        try await until("the photo is encoded") { if case .prompting = model.state { true } else { false } }
    }

    func tap(_ x: Double = 5) { model.tap(Point(x: x, y: 5), isForeground: true) }

    var answer: Answer? { if case let .prompting(_, _, answer) = model.state { answer } else { nil } }

    var hasMask: Bool { if case .mask? = answer { true } else { false } }

    func until(_ what: String, _ isSo: () -> Bool) async throws {
        let start = ContinuousClock.now
        while !isSo() {
            guard ContinuousClock.now - start < .seconds(120) else { throw Failure(what: "never: \(what)") }
            try await Task.sleep(for: .milliseconds(1))
        }
    }

    /// Long enough for whatever was still to come.
    func settle() async throws { try await Task.sleep(for: .milliseconds(50)) }
}

struct Failure: Error { let what: String }

func check(_ condition: Bool, _ what: String) throws {
    if !condition { throw Failure(what: what) }
}

let tests: [(String, (World) async throws -> Void)] = [
    (
        "a cancelled search ends and shows what it found",
        { world in
            try await world.openPhoto()
            world.engine.hold()
            world.model.findEverything()
            try check(world.answer?.isSearching == true, "it searches at once")
            world.model.cancel()
            world.engine.release()
            try await world.until("the search ends") { world.answer?.isSearching == false }
            try await world.settle()
            guard case let .objects(_, stoppedEarly, _)? = world.answer else {
                throw Failure(what: "no objects")
            }
            try check(stoppedEarly, "it says that it was stopped")
        }
    ),
    (
        "late progress does not bring a search back",
        { world in
            try await world.openPhoto()
            world.model.findEverything()
            world.model.clearPrompt()
            try await world.settle()
            guard case .nothing? = world.answer else {
                throw Failure(what: "a search that was ended is shown")
            }
        }
    ),
    (
        "a whole search says so",
        { world in
            try await world.openPhoto()
            world.model.findEverything()
            try await world.until("the search ends") { world.answer?.isSearching == false }
            guard case let .objects(count, stoppedEarly, _)? = world.answer else {
                throw Failure(what: "no objects")
            }
            try check(count > 0 && !stoppedEarly, "it found all")
        }
    ),
    (
        "taps are not lost while a decode runs",
        { world in
            try await world.openPhoto()
            world.engine.hold()
            for x in [5.0, 6, 7] { world.tap(x) }
            try check(world.model.points.count == 3, "all taps are seen at once")
            world.engine.release()
            try await world.until("the mask comes") { world.hasMask }
            try await world.settle()
            try check(world.model.points.map(\.location.x) == [5, 6, 7], "all taps are there")
        }
    ),
    (
        "the eighth tap is refused in words, and taps can be taken back",
        { world in
            try await world.openPhoto()
            for x in 0..<7 {
                world.tap(Double(x))
                try await world.until("mask \(x)") { world.hasMask }
            }
            world.tap(8)
            try check(world.model.message?.contains("no more taps") == true, "it says why")
            try check(world.model.points.count == 7, "the prompt stays as it was")
            world.model.message = nil
            world.model.undo()
            try check(world.model.points.count == 6, "undo takes the last back")
            world.tap(9)
            try await world.settle()
            try check(world.model.message == nil && world.model.points.count == 7, "there is room again")
        }
    ),
    (
        "undo of the first tap leaves the photo",
        { world in
            try await world.openPhoto()
            world.tap()
            try await world.until("the mask comes") { world.hasMask }
            world.model.undo()
            guard case .nothing? = world.answer else { throw Failure(what: "the mask is still there") }
            try check(world.model.points.isEmpty && !world.model.canUndo, "nothing is left to undo")
        }
    ),
    (
        "another engine keeps the photo",
        { world in
            try await world.openPhoto()
            world.model.choose(.cpu)
            try await world.until("the photo is encoded again") { world.answer != nil }
            try check(world.model.engine == .cpu, "the engine is the chosen one")
        }
    ),
    (
        "a failing decoder keeps the photo",
        { world in
            try await world.openPhoto()
            world.engine.fail()
            world.tap()
            try await world.until("it says so") { world.model.message != nil }
            try check(world.answer != nil, "the photo is still there")
        }
    ),
    (
        "a search that fails does not search for ever",
        { world in
            try await world.openPhoto()
            world.engine.fail()
            world.model.findEverything()
            try await world.until("it says so") { world.model.message != nil }
            guard case .nothing? = world.answer else { throw Failure(what: "it still searches") }
        }
    ),
    (
        "without fixtures there is nothing to replay",
        { world in
            try await world.openPhoto()
            try check(!world.model.canReplay, "the button is hidden")
        }
    ),
]

@MainActor
func compareEngines() async throws {
    let world = try World(failing: .gpu)
    try await world.openPhoto()
    world.model.compareEngines()
    try await world.until("every engine has a row") {
        world.model.comparison?.count == EngineChoice.allCases.count
    }
    try check(world.model.comparison?.first?.engine == .cpu, "all are compared with the CPU")
    for row in world.model.comparison ?? [] {
        switch row.result {
        case let .success(times):
            try check(times.agreement == 1, "equal engines agree")
            try check(times.difference != nil, "the difference is drawn")
        case .failure: try check(row.engine == .gpu, "\(row.engine) failed")
        }
    }
}

@MainActor
func unavailable() async throws {
    let world = try World(failing: .all)
    await world.model.loadModel()
    guard case .unavailable = world.model.state else {
        throw Failure(what: "a model that is not there is shown")
    }
}

@MainActor
func run() async -> Int {
    var failures = 0
    func run(_ name: String, _ body: () async throws -> Void) async {
        do {
            try await body()
        } catch {
            failures += 1
            print("FAILED: \(name): \(error)")
        }
    }
    for (name, body) in tests { await run(name) { try await body(World()) } }
    await run("a comparison has a row for every engine", compareEngines)
    await run("a model that does not load is said to be unavailable", unavailable)
    print("states of the app: \(tests.count + 2) tests, \(failures) failures")
    return failures
}

exit(await run() == 0 ? 0 : 1)
