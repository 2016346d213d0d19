/// The tensors that this library gives to a model and takes from it, as the manifest declares them.
struct ContractShapes {
    let sizes: Sizes
    let signatures: [EntryPoint: Signature]

    /// Checks every name, dtype and shape; returns the number of masks per prompt.
    func checkedMaskCount() throws -> Int {
        let masks = try maskCount()
        for (entry, inputs, outputs) in expected(masks: masks) {
            try check(signatures[entry]?.inputs, inputs, "entry_points.\(entry.rawValue).inputs")
            try check(signatures[entry]?.outputs, outputs, "entry_points.\(entry.rawValue).outputs")
        }
        return masks
    }

    private func maskCount() throws -> Int {
        guard let shape = signatures[.decode]?.outputs.first?.shape, shape.count == 4, shape[1] > 0 else {
            throw TinySAMError.manifest(
                field: "entry_points.decode.outputs",
                reason: "the first must be low_res_masks (1, masks, m, m)"
            )
        }
        return shape[1]
    }

    private func expected(masks: Int) -> [(EntryPoint, [TensorSpec], [TensorSpec])] {
        let image = [
            float("image", [1, RGBImage.channels, sizes.imageSize, sizes.imageSize]),
            TensorSpec(name: "valid_size", shape: [2], dtype: "int32"),
        ]
        let maskPrompt = [
            float("mask_input", [1, 1, sizes.maskSize, sizes.maskSize]), float("has_mask_input", [1]),
        ]
        return [
            (.encode, image, [embedding]),
            (.decode, [embedding] + prompts(1) + maskPrompt, answers(1, masks)),
            (.decodeBatch, [embedding] + prompts(sizes.batch), answers(sizes.batch, masks)),
        ]
    }

    private var embedding: TensorSpec {
        float("image_embeddings", [1, sizes.channels, sizes.gridSize, sizes.gridSize])
    }

    private func prompts(_ count: Int) -> [TensorSpec] {
        [
            float("point_coords", [count, sizes.slots, 2]),
            TensorSpec(name: "point_labels", shape: [count, sizes.slots], dtype: "int32"),
        ]
    }

    private func answers(_ count: Int, _ masks: Int) -> [TensorSpec] {
        [
            float("low_res_masks", [count, masks, sizes.maskSize, sizes.maskSize]),
            float("iou_predictions", [count, masks]),
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
