/// What goes into an entry point.
public enum EntryPointInput: Sendable {
    case floats(FloatTensor)
    case integers([Int32], shape: [Int])
}

/// A runtime that runs a model's entry points by the contract's names: all that an engine need bring with it.
///
/// What `encode` returned is handed on by name, however much it is; the entry point's signature picks and orders.
public protocol EntryPointEngine: SegmentationEngine {
    /// m: side of a mask prompt.
    var maskSize: Int { get }

    /// Whether the model's files have it.
    func has(_ entry: EntryPoint) async -> Bool

    /// The outputs that the manifest lists for `entry`, by name. More inputs may be given than it takes.
    ///
    /// Throws `TinySAMError.engine` for an entry point that the model lacks.
    func run(_ entry: EntryPoint, _ inputs: [String: EntryPointInput]) async throws -> [String: FloatTensor]
}

extension EntryPointEngine {
    public func encode(image: FloatTensor, validSize: PixelSize) async throws -> ImageFeatures {
        let size = [validSize.height, validSize.width].map(Int32.init)
        return ImageFeatures(
            values: try await run(
                .encode,
                [TensorName.image: .floats(image), TensorName.validSize: .integers(size, shape: [2])]
            ))
    }

    public func decode(
        features: ImageFeatures, prompt: PackedPrompts, maskInput: FloatTensor?
    ) async throws -> DecoderAnswer {
        var inputs = inputs(features, prompt)
        inputs[TensorName.maskInput] = .floats(
            maskInput ?? FloatTensor(shape: [1, 1, maskSize, maskSize]) { $0.update(repeating: 0) })
        inputs[TensorName.hasMaskInput] = .floats(
            FloatTensor(shape: [1]) { $0[0] = maskInput == nil ? 0 : 1 })
        return try answer(await run(.decode, inputs))
    }

    public func decodeBatch(features: ImageFeatures, prompts: PackedPrompts) async throws -> DecoderAnswer {
        try answer(await run(.decodeBatch, inputs(features, prompts)))
    }

    public var canScore: Bool { get async { await has(.scoreBatch) } }

    public func scoreBatch(features: ImageFeatures, prompts: PackedPrompts) async throws -> FloatTensor {
        try output(TensorName.iouPredictions, of: await run(.scoreBatch, inputs(features, prompts)))
    }

    private func inputs(_ features: ImageFeatures, _ prompts: PackedPrompts) -> [String: EntryPointInput] {
        var inputs = features.values.mapValues(EntryPointInput.floats)
        inputs[TensorName.pointCoords] = .floats(prompts.coords)
        inputs[TensorName.pointLabels] = .integers(prompts.labels, shape: [prompts.count, prompts.slots])
        return inputs
    }

    private func answer(_ outputs: [String: FloatTensor]) throws -> DecoderAnswer {
        DecoderAnswer(
            lowResMasks: try output(TensorName.lowResMasks, of: outputs),
            iouPredictions: try output(TensorName.iouPredictions, of: outputs)
        )
    }

    private func output(_ name: String, of outputs: [String: FloatTensor]) throws -> FloatTensor {
        guard let tensor = outputs[name] else {
            throw TinySAMError.engine(reason: "the model gave no \(name)")
        }
        return tensor
    }
}

extension Signature {
    /// What goes into this entry point, in its order: how a runtime that knows positions only takes it.
    ///
    /// Throws `TinySAMError.engine` if an input is not given.
    public func ordered(_ inputs: [String: EntryPointInput]) throws -> [EntryPointInput] {
        try self.inputs.map { spec in
            guard let input = inputs[spec.name] else {
                throw TinySAMError.engine(reason: "\(spec.name) was not given, which this model takes")
            }
            return input
        }
    }
}
