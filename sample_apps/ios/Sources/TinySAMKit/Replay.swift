import Foundation

/// Replays fixtures with the code that an app uses for its users, each step from the output of the one
/// before, and writes what every step gave (`docs/device_loop.md`).
public struct Replay: Sendable {
    private let fixtures: FixtureSet
    private let predictor: Predictor
    private let preprocess: Preprocessor
    private let packer: PromptPacker

    public init(fixtures: FixtureSet, predictor: Predictor) {
        self.fixtures = fixtures
        self.predictor = predictor
        preprocess = Preprocessor(manifest: predictor.manifest)
        packer = PromptPacker(manifest: predictor.manifest)
    }

    /// Writes the dump to `url` and returns its latencies. `progress` gets the number of photos that are done;
    /// `description` is asked at the end, when it is known how warm the device became.
    ///
    /// Throws what the engine throws, `TinySAMError.file` and `CancellationError`; no dump is left then.
    public func run(
        into url: URL, progress: @Sendable (Int) -> Void = { _ in },
        description: @Sendable () -> DumpDescription
    ) async throws -> StepLatencies {
        guard !fixtures.photos.isEmpty else { throw TinySAMError.fixtures(reason: "they hold no photo") }
        // The first run of an entry point is not counted: runtimes finish loading in it.
        var warmUp = StepLatencies()
        _ = try await record(photo: 0, &warmUp)
        let dump = try DumpWriter(url, fixturesID: fixtures.id)
        var latencies = StepLatencies()
        for index in fixtures.photos.indices {
            try Task.checkCancellation()
            try write(try await record(photo: index, &latencies), of: index, to: dump)
            progress(index + 1)
        }
        try dump.finish(description(), latencies)
        return latencies
    }

    private struct PhotoRecord {
        let prepared: PreparedImage
        let features: ImageFeatures
        var prompts: [PromptRecord] = []
    }

    private struct PromptRecord {
        let packed: PackedPrompts
        let answer: LowResolution
        let mask: Mask
    }

    private func record(photo index: Int, _ latencies: inout StepLatencies) async throws -> PhotoRecord {
        let pixels = try fixtures.image(index)
        let prepared = timed(&latencies.preprocess) { preprocess(pixels) }
        let encoded = try await timed(&latencies.encode) { try await predictor.encode(prepared) }
        let geometry = prepared.geometry
        let upscaler = MaskUpscaler(geometry: geometry, maskSize: predictor.manifest.sizes.maskSize)
        let packed = try fixtures.photos[index].prompts.map {
            try packer.pack([$0.prompt()], geometry: geometry, rows: 1, spare: $0.spareXy)
        }
        let answers = try await decode(packed, photo: index, on: encoded, &latencies)
        var record = PhotoRecord(prepared: prepared, features: encoded.features)
        for (prompt, answer) in zip(packed, answers) {
            let mask = timed(&latencies.postprocess) {
                upscaler.mask(
                    answer.logits, at: answer.best, above: predictor.manifest.postprocess.maskThreshold
                )
            }
            record.prompts.append(PromptRecord(packed: prompt, answer: answer, mask: mask))
        }
        return record
    }

    /// Prompts with a mask, and the first one without, go through `decode`, the others through
    /// `decode_batch`, so that both entry points are run.
    private func decode(
        _ packed: [PackedPrompts], photo: Int, on image: EncodedImage, _ latencies: inout StepLatencies
    ) async throws -> [LowResolution] {
        let prompts = fixtures.photos[photo].prompts
        let batched = Array(prompts.indices.filter { !prompts[$0].hasMaskInput }.dropFirst())
        var answers: [Int: LowResolution] = [:]
        for index in prompts.indices where !batched.contains(index) {
            let mask = try fixtures.maskInput(photo: photo, prompt: index)
            answers[index] = try await timed(&latencies.decode) {
                try await predictor.decode(packed[index], on: image, refining: mask)
            }
        }
        let batch = predictor.manifest.sizes.batch
        for start in stride(from: 0, to: batched.count, by: batch) {
            let chosen = batched[start..<min(start + batch, batched.count)]
            let rows = PackedPrompts.stacked(chosen.map { packed[$0] }, rows: batch)
            let found = try await timed(&latencies.decodeBatch) {
                try await predictor.decodeBatch(rows, count: chosen.count, on: image)
            }
            for (index, answer) in zip(chosen, found) { answers[index] = answer }
        }
        return prompts.indices.compactMap { answers[$0] }
    }

    private func write(_ record: PhotoRecord, of index: Int, to dump: DumpWriter) throws {
        let name = "photo_\(index)"
        let image = record.prepared.image
        try dump.add("\(name)/preprocessed_image", image, shape: Array(image.shape.dropFirst()))
        let features = try record.features.joined(as: predictor.manifest.encoderOutputs)
        try dump.add("\(name)/embedding", features, shape: features.shape)
        for (i, prompt) in record.prompts.enumerated() {
            let place = "\(name)/prompt_\(i)"
            let rows = prompt.packed.rows(of: 0)
            try dump.add("\(place)/packed_prompt", rows, shape: rows.shape)
            try dump.add("\(place)/low_res_logits", prompt.answer.logits, shape: prompt.answer.logits.shape)
            let scores = try FloatTensor(shape: [prompt.answer.scores.count], values: prompt.answer.scores)
            try dump.add("\(place)/predicted_iou", scores, shape: scores.shape)
            try dump.add("\(place)/chosen_mask", [Int32(prompt.answer.best)])
            try dump.add("\(place)/full_size_mask", prompt.mask)
        }
    }
}

/// Appends the milliseconds that `body` takes to `latencies`.
private func timed<Result>(_ latencies: inout [Double], _ body: () throws -> Result) rethrows -> Result {
    let start = ContinuousClock.now
    let result = try body()
    latencies.append((ContinuousClock.now - start).milliseconds)
    return result
}

private func timed<Result>(
    _ latencies: inout [Double], _ body: () async throws -> Result
) async rethrows -> Result {
    let start = ContinuousClock.now
    let result = try await body()
    latencies.append((ContinuousClock.now - start).milliseconds)
    return result
}

extension Duration {
    /// This time in milliseconds.
    public var milliseconds: Double { self / .milliseconds(1) }
}
