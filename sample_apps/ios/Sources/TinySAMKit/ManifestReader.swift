/// The weights that were converted.
public struct Checkpoint: Decodable, Equatable, Sendable {
    public let name: String
    /// Of the file; none for stand-in weights.
    public let sha256: String?
}

/// The sizes of one converted model; its entry points follow from them.
public struct Sizes: Equatable, Sendable {
    /// S: side of the square that `encode` takes, in pixels.
    public let imageSize: Int
    /// Side of the embedding, in cells.
    public let gridSize: Int
    /// m: side of a low-resolution mask, in pixels.
    public let maskSize: Int
    /// C: channels of the embedding.
    public let channels: Int
    /// N: slots of one prompt.
    public let slots: Int
    /// K: prompts of one `decode_batch` call.
    public let batch: Int
    /// Prompts of one `score_batch` call.
    public let scoreBatch: Int

    init(_ named: [String: Int]) throws {
        let names: Set = [
            "image_size", "grid_size", "mask_size", "channels", "slots", "batch", "score_batch",
        ]
        // The decoder's key strategy leaves the keys of dictionaries as they are.
        guard Set(named.keys) == names else {
            throw TinySAMError.manifest(
                field: "sizes", reason: "must hold \(names.sorted().joined(separator: ", "))"
            )
        }
        func size(_ name: String, atLeast lowest: Int = 1) throws -> Int {
            guard let value = named[name], value >= lowest, value <= Int(UInt16.max) else {
                throw TinySAMError.manifest(
                    field: "sizes.\(name)", reason: "must be an integer from \(lowest) to \(UInt16.max)"
                )
            }
            return value
        }
        imageSize = try size("image_size")
        gridSize = try size("grid_size")
        maskSize = try size("mask_size")
        channels = try size("channels")
        slots = try size("slots", atLeast: Prompt.boxSlots)
        batch = try size("batch")
        scoreBatch = try size("score_batch")
        // The two resizes of a mask then read three of its cells at most.
        guard maskSize <= imageSize else {
            throw TinySAMError.manifest(field: "sizes.mask_size", reason: "must not exceed image_size")
        }
    }
}

/// One input or output; `dtype` is float32 or int32.
public struct TensorSpec: Decodable, Equatable, Sendable {
    public let name: String
    public let shape: [Int]
    public let dtype: String
}

/// An entry point's inputs and outputs, in the order in which a .pte takes and returns them.
public struct Signature: Decodable, Equatable, Sendable {
    public let component: Component
    public let inputs: [TensorSpec]
    public let outputs: [TensorSpec]
}

/// A part of the model that becomes one artifact.
public enum Component: String, Decodable, Sendable {
    case encoder
    case decoder
}

/// How a photo becomes the input of `encode`.
public struct PreprocessRules: Decodable, Equatable, Sendable {
    public struct Resize: Decodable, Equatable, Sendable {
        /// S.
        public let longSide: Int
    }

    public struct Pad: Decodable, Equatable, Sendable {
        public let value: Float
    }

    public let colour: String
    public let valueRange: [Double]
    public let resize: Resize
    public let pad: Pad
    /// "graph": the model subtracts `mean` and divides by `std` itself.
    public let normalisedBy: String
    public let mean: [Double]
    public let std: [Double]

    func check(_ sizes: Sizes) throws {
        try require(colour == "RGB", "preprocess.colour", "this library gives RGB, not \(colour)")
        try require(
            valueRange == [Double(UInt8.min), Double(UInt8.max)], "preprocess.value_range",
            "this library gives 8-bit values as they are, not \(valueRange)"
        )
        try require(
            normalisedBy == "graph", "preprocess.normalised_by",
            "this library leaves that to the graph, not to \(normalisedBy)"
        )
        try require(
            resize.longSide == sizes.imageSize, "preprocess.resize.long_side",
            "must be sizes.image_size, \(sizes.imageSize)"
        )
        let channels = RGBImage.channels
        try require(mean.count == channels, "preprocess.mean", "must hold \(channels) numbers")
        try require(std.count == channels, "preprocess.std", "must hold \(channels) numbers")
    }
}

/// How a prompt is packed into slots.
public struct PromptRules: Decodable, Equatable, Sendable {
    /// Added to coordinates by the graph: the centre of the pixel.
    public let pointShift: Double
    public let pointShiftAppliedBy: String
    public let slots: Int
    /// Value of a label → its meaning.
    public let labels: [String: String]

    func check(_ sizes: Sizes) throws {
        try require(
            pointShiftAppliedBy == "graph", "prompts.point_shift_applied_by",
            "this library leaves that to the graph, not to \(pointShiftAppliedBy)"
        )
        try require(slots == sizes.slots, "prompts.slots", "must be sizes.slots, \(sizes.slots)")
        let known = Set(SlotLabel.allCases.map { String($0.rawValue) })
        try require(
            Set(labels.keys) == known, "prompts.labels",
            "this library packs the labels \(known.sorted().joined(separator: ", "))"
        )
    }
}

/// How low-resolution logits become the mask that an app shows.
public struct PostprocessRules: Decodable, Equatable, Sendable {
    /// m.
    public let lowResSize: Int
    /// A pixel belongs to the mask where its full-size logit is above this.
    public let maskThreshold: Float

    func check(_ sizes: Sizes) throws {
        try require(
            lowResSize == sizes.maskSize, "postprocess.low_res_size",
            "must be sizes.mask_size, \(sizes.maskSize)"
        )
    }
}

/// One converted file; `path` is relative to the bundle, with forward slashes.
public struct Artifact: Decodable, Equatable, Sendable {
    public let runtime: String
    public let recipe: String
    public let component: Component
    public let path: String
    /// The contract's name of an entry point → its name in the file. Empty for Core ML's image inputs before
    /// iOS 18.
    public let entryPoints: [String: String]
    public let sha256: String
    public let sizeBytes: Int
    public let details: Details?

    /// What the converter noted; an app needs little of it.
    public struct Details: Decodable, Equatable, Sendable {
        /// What a .pte was lowered to.
        public let backend: String?
    }

    func check() throws {
        let isHash = sha256.utf8.count == 64 && sha256.allSatisfy { "0123456789abcdef".contains($0) }
        try require(isHash, "artifacts.sha256", "must be 64 hexadecimal digits, not '\(sha256)'")
        let leaves = path.hasPrefix("/") || path.split(separator: "/").contains("..")
        try require(!path.isEmpty && !leaves, "artifacts.path", "must stay inside the bundle: '\(path)'")
        try require(sizeBytes >= 0, "artifacts.size_bytes", "must be 0 or more, not \(sizeBytes)")
    }
}

private func require(_ condition: Bool, _ field: String, _ reason: String) throws {
    if !condition { throw TinySAMError.manifest(field: field, reason: reason) }
}
