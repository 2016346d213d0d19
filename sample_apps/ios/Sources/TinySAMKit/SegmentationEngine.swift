/// A model behind the contract, on any runtime. The shapes are those of the manifest's `sizes`.
///
/// Engines throw `TinySAMError.engine`, and their SDK's own errors.
public protocol SegmentationEngine: Sendable {
    /// `image` f32 (1, 3, S, S) of a photo that covers `validSize` of it → all that the decoder needs of it.
    func encode(image: FloatTensor, validSize: PixelSize) async throws -> ImageFeatures

    /// One prompt, packed (1, N), and a mask prompt f32 (1, 1, m, m) or none.
    func decode(
        features: ImageFeatures, prompt: PackedPrompts, maskInput: FloatTensor?
    ) async throws -> DecoderAnswer

    /// K prompts of one image, packed (K, N).
    func decodeBatch(features: ImageFeatures, prompts: PackedPrompts) async throws -> DecoderAnswer

    /// Whether the model has `score_batch`; some artifacts have not.
    var canScore: Bool { get async }

    /// The predicted IoU f32 (K', masks) of K' prompts of one image whose masks are not made.
    func scoreBatch(features: ImageFeatures, prompts: PackedPrompts) async throws -> FloatTensor
}

extension SegmentationEngine {
    public var canScore: Bool { get async { false } }

    public func scoreBatch(features: ImageFeatures, prompts: PackedPrompts) async throws -> FloatTensor {
        throw TinySAMError.engine(reason: "the model has no '\(EntryPoint.scoreBatch.rawValue)'")
    }
}

/// What the decoder answers to K prompts.
public struct DecoderAnswer: Equatable, Sendable {
    /// Logits f32 (K, masks, m, m).
    public let lowResMasks: FloatTensor
    /// The IoU that the model predicts for each mask, f32 (K, masks).
    public let iouPredictions: FloatTensor

    public init(lowResMasks: FloatTensor, iouPredictions: FloatTensor) {
        self.lowResMasks = lowResMasks
        self.iouPredictions = iouPredictions
    }
}

/// Names of tensors, the same in every format.
public enum TensorName {
    public static let image = "image"
    public static let validSize = "valid_size"
    public static let imageEmbeddings = "image_embeddings"
    public static let pointCoords = "point_coords"
    public static let pointLabels = "point_labels"
    public static let maskInput = "mask_input"
    public static let hasMaskInput = "has_mask_input"
    public static let lowResMasks = "low_res_masks"
    public static let iouPredictions = "iou_predictions"
}
