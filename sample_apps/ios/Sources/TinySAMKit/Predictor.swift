/// A photo as the decoder sees it. Keep it to come back to the photo without encoding it again.
public struct EncodedImage: Sendable {
    public let features: ImageFeatures
    /// Where the photo lies in the S frame.
    public let geometry: Geometry

    public init(features: ImageFeatures, geometry: Geometry) {
        self.features = features
        self.geometry = geometry
    }
}

/// The decoder's answer to one prompt.
public struct LowResolution: Sendable, Equatable {
    /// f32 (masks, m, m) over the S frame.
    public let logits: FloatTensor
    /// The IoU that the model predicts for each mask.
    public let scores: [Float]
    private let selection: Rules.Selection

    public init(logits: FloatTensor, scores: [Float], selection: Rules.Selection = .predictedIoU) {
        self.logits = logits
        self.scores = scores
        self.selection = selection
    }

    /// Index of the mask to show: the highest of what the rules select by, the first of equal ones.
    public var best: Int { stableOrder(falling: selectionScores).first ?? 0 }

    private var selectionScores: [Float] {
        switch selection {
        case .predictedIoU: scores
        case .stability:
            scores.indices.map { stabilityScore(logits.item($0).values, threshold: 0, offset: 1) }
        }
    }

    /// Mask `index` as a mask prompt, f32 (1, 1, m, m), for `Predictor.predict(refining:)`.
    public func maskPrompt(_ index: Int) -> FloatTensor {
        let side = logits.shape[logits.shape.count - 1]
        let mask = logits.item(index)
        return FloatTensor(shape: [1, 1, side, side]) { values in
            mask.withUnsafeValues { _ = values.update(fromContentsOf: $0) }
        }
    }
}

/// The masks of one prompt. Full-size masks are made when asked for.
public struct Prediction: Sendable {
    public let lowResolution: LowResolution
    private let upscaler: MaskUpscaler
    private let threshold: Float

    init(lowResolution: LowResolution, upscaler: MaskUpscaler, threshold: Float) {
        self.lowResolution = lowResolution
        self.upscaler = upscaler
        self.threshold = threshold
    }

    /// Index of the mask to show.
    public var best: Int { lowResolution.best }

    /// Mask `index` in original-image pixels; `inside` is its value there, such as `Mask.opaque`.
    public func mask(_ index: Int, inside: UInt8 = 1) -> Mask {
        upscaler.mask(lowResolution.logits, at: index, above: threshold, inside: inside)
    }
}

/// Masks for prompts on any engine: a photo is encoded once, then each prompt is a quick decode.
public struct Predictor: Sendable {
    public let manifest: Manifest
    private let engine: any SegmentationEngine
    private let preprocess: Preprocessor
    private let packer: PromptPacker
    /// None where the manifest has no `score_batch`.
    private let scorePacker: PromptPacker?

    public init(manifest: Manifest, engine: any SegmentationEngine) {
        self.manifest = manifest
        self.engine = engine
        preprocess = Preprocessor(manifest: manifest)
        packer = PromptPacker(manifest: manifest)
        scorePacker = manifest.scoreSlots.map(PromptPacker.init(slots:))
    }

    /// Throws what the engine throws, and `TinySAMError.engine` for an answer of another shape.
    public func encode(_ image: RGBImage) async throws -> EncodedImage {
        try await encode(preprocess(image))
    }

    /// The same after a preprocessing of one's own.
    public func encode(_ prepared: PreparedImage) async throws -> EncodedImage {
        let features = try await engine.encode(
            image: prepared.image, validSize: prepared.geometry.validSize
        )
        for spec in manifest.encoderOutputs { try check(features.values[spec.name], .encode, spec) }
        return EncodedImage(features: features, geometry: prepared.geometry)
    }

    /// The masks of one prompt; `maskPrompt` f32 (1, 1, m, m) refines an earlier answer.
    ///
    /// Throws `TinySAMError.prompt` if there is nothing to predict from, the prompt is outside the photo or
    /// takes too many slots, or the mask prompt has another shape or is not finite.
    public func predict(
        _ prompt: Prompt, on image: EncodedImage, refining maskPrompt: FloatTensor? = nil
    ) async throws -> Prediction {
        let packed = try pack([prompt], on: image, rows: 1, hasMaskPrompt: maskPrompt != nil)
        let low = try await decode(packed, on: image, refining: maskPrompt)
        let upscaler = MaskUpscaler(geometry: image.geometry, maskSize: manifest.sizes.maskSize)
        return Prediction(
            lowResolution: low, upscaler: upscaler, threshold: manifest.postprocess.maskThreshold
        )
    }

    /// The decoder's answer to one packed prompt (1, N).
    func decode(
        _ prompt: PackedPrompts, on image: EncodedImage, refining maskPrompt: FloatTensor?
    ) async throws -> LowResolution {
        if let maskPrompt { try check(maskPrompt: maskPrompt) }
        let answer = try await engine.decode(
            features: image.features, prompt: prompt, maskInput: maskPrompt
        )
        return try rows(of: answer, .decode, count: 1)[0]
    }

    /// The decoder's answers to at most K prompts, in one call. Throws as `predict`.
    public func decodeBatch(_ prompts: [Prompt], on image: EncodedImage) async throws -> [LowResolution] {
        let packed = try pack(prompts, on: image, rows: manifest.sizes.batch, hasMaskPrompt: false)
        return try await decodeBatch(packed, count: prompts.count, on: image)
    }

    /// Whether `scoreBatch` works with this model.
    public var canScore: Bool { get async { scorePacker == nil ? false : await engine.canScore } }

    /// The predicted IoU of each mask of at most K' prompts, without the masks: a fraction of the cost.
    ///
    /// Throws as `predict`, and for a prompt of more than one point or box.
    public func scoreBatch(_ prompts: [Prompt], on image: EncodedImage) async throws -> [[Float]] {
        guard let scorePacker, let spec = manifest.entryPoints[.scoreBatch]?.outputs.first else {
            throw TinySAMError.engine(reason: "the model has no '\(EntryPoint.scoreBatch.rawValue)'")
        }
        let rows = manifest.sizes.scoreBatch
        let packed = try pack(prompts, on: image, rows: rows, hasMaskPrompt: false, by: scorePacker)
        let scores = try await engine.scoreBatch(features: image.features, prompts: packed)
        try check(scores, .scoreBatch, spec)
        return prompts.indices.map { scores.item($0).values }
    }

    /// The answers to the first `count` of K packed prompts.
    func decodeBatch(
        _ prompts: PackedPrompts, count: Int, on image: EncodedImage
    ) async throws -> [LowResolution] {
        let answer = try await engine.decodeBatch(features: image.features, prompts: prompts)
        return try rows(of: answer, .decodeBatch, count: count)
    }

    private func pack(
        _ prompts: [Prompt], on image: EncodedImage, rows: Int, hasMaskPrompt: Bool,
        by packer: PromptPacker? = nil
    ) throws -> PackedPrompts {
        guard prompts.count <= rows else {
            throw TinySAMError.prompt(reason: "one call takes \(rows) prompts, not \(prompts.count)")
        }
        try prompts.forEach { try $0.check(hasMaskPrompt: hasMaskPrompt) }
        return try (packer ?? self.packer).pack(prompts, geometry: image.geometry, rows: rows)
    }

    private func check(maskPrompt: FloatTensor) throws {
        let side = manifest.sizes.maskSize
        guard manifest.rules.maskPrompts else {
            throw TinySAMError.prompt(
                reason: "this model was never trained with mask prompts; give points or a box")
        }
        guard maskPrompt.shape == [1, 1, side, side] else {
            throw TinySAMError.prompt(
                reason:
                    "a mask prompt is low-resolution logits (1, 1, \(side), \(side)), not \(maskPrompt.shape)"
            )
        }
        guard maskPrompt.withUnsafeValues({ $0.allSatisfy(\.isFinite) }) else {
            throw TinySAMError.prompt(reason: "the mask prompt holds NaN or infinity")
        }
    }

    private func rows(of answer: DecoderAnswer, _ entry: EntryPoint, count: Int) throws -> [LowResolution] {
        let tensors = [answer.lowResMasks, answer.iouPredictions]
        for (tensor, spec) in zip(tensors, manifest.entryPoints[entry]?.outputs ?? []) {
            try check(tensor, entry, spec)
        }
        return (0..<count).map { row in
            LowResolution(
                logits: answer.lowResMasks.item(row), scores: answer.iouPredictions.item(row).values,
                selection: manifest.rules.selection
            )
        }
    }

    /// An engine is not trusted: what it answers must be what the manifest says.
    private func check(_ tensor: FloatTensor?, _ entry: EntryPoint, _ wanted: TensorSpec) throws {
        guard let tensor else {
            throw TinySAMError.engine(reason: "'\(entry.rawValue)' gave no \(wanted.name)")
        }
        guard wanted.shape != tensor.shape else { return }
        throw TinySAMError.engine(
            reason: "'\(entry.rawValue)' gave \(wanted.name) of shape \(tensor.shape) instead of "
                + "\(wanted.shape); take the model that belongs to this manifest"
        )
    }
}
