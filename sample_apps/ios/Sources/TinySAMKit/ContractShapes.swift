/// The tensors that this library gives to a model and takes from it, as the manifest declares them.
struct ContractShapes {
    let sizes: Sizes
    let rules: Rules
    let signatures: [EntryPoint: Signature]

    /// Checks every name, dtype and shape.
    func check() throws {
        try checkFeatures()
        for (entry, inputs, outputs) in expected() {
            try check(signatures[entry]?.inputs, inputs, "entry_points.\(entry.rawValue).inputs")
            try check(signatures[entry]?.outputs, outputs, "entry_points.\(entry.rawValue).outputs")
        }
    }

    private func expected() -> [(EntryPoint, [TensorSpec], [TensorSpec])] {
        let image = [
            float(TensorName.image, [1, RGBImage.channels, sizes.imageSize, sizes.imageSize]),
            TensorSpec(name: TensorName.validSize, shape: [2], dtype: "int32"),
        ]
        let masks = rules.numMasks
        let maskPrompt =
            !rules.maskPrompts
            ? []
            : [
                float(TensorName.maskInput, [1, 1, sizes.maskSize, sizes.maskSize]),
                float(TensorName.hasMaskInput, [1]),
            ]
        let always: [(EntryPoint, [TensorSpec], [TensorSpec])] = [
            (.encode, image, features),
            (.decode, features + prompts(1, sizes.slots) + maskPrompt, answers(1, masks)),
            (.decodeBatch, features + prompts(sizes.batch, sizes.slots), answers(sizes.batch, masks)),
        ]
        guard signatures[.scoreBatch] != nil else { return always }
        // Feature maps beside the embedding are for masks alone.
        let scored = features.prefix(1) + prompts(sizes.scoreBatch, scoreSlots)
        return always + [(.scoreBatch, Array(scored), Array(answers(sizes.scoreBatch, masks).dropFirst()))]
    }

    /// What `encode` returns, and every decoder takes first.
    private var features: [TensorSpec] { signatures[.encode]?.outputs ?? [] }

    /// The embedding, and whatever feature maps a family has beside it.
    private func checkFeatures() throws {
        let embedding = float(
            TensorName.imageEmbeddings, [1, sizes.channels, sizes.gridSize, sizes.gridSize])
        let areFloats = features.allSatisfy { $0.dtype == embedding.dtype && isPossible($0.shape) }
        guard features.first == embedding, areFloats, Set(features.map(\.name)).count == features.count else {
            throw TinySAMError.manifest(
                field: "entry_points.encode.outputs",
                reason: "must be \(embedding.name) \(embedding.shape) by sizes, then float32 feature maps of "
                    + "other names; convert again"
            )
        }
    }

    /// Whether a tensor of `shape` can be held; a product of any numbers may not even be a number.
    private func isPossible(_ shape: [Int]) -> Bool {
        shape.allSatisfy { $0 > 0 } && shape.reduce(1.0, { $0 * Double($1) }) <= Double(Int32.max)
    }

    /// A point with its pad point, or a box, or what the model always takes.
    private var scoreSlots: Int { max(Prompt.boxSlots, rules.fixedPoints) }

    private func prompts(_ count: Int, _ slots: Int) -> [TensorSpec] {
        [
            float(TensorName.pointCoords, [count, slots, 2]),
            TensorSpec(name: TensorName.pointLabels, shape: [count, slots], dtype: "int32"),
        ]
    }

    private func answers(_ count: Int, _ masks: Int) -> [TensorSpec] {
        [
            float(TensorName.lowResMasks, [count, masks, sizes.maskSize, sizes.maskSize]),
            float(TensorName.iouPredictions, [count, masks]),
        ]
    }

    private func float(_ name: String, _ shape: [Int]) -> TensorSpec {
        TensorSpec(name: name, shape: shape, dtype: "float32")
    }

    private func check(_ found: [TensorSpec]?, _ wanted: [TensorSpec], _ field: String) throws {
        guard found != wanted else { return }
        let list = wanted.map { "\($0.name) \($0.dtype) \($0.shape)" }.joined(separator: ", ")
        throw TinySAMError.manifest(field: field, reason: "must be \(list) by sizes; convert again")
    }
}
