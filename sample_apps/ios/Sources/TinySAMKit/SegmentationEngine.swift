/// A model behind the contract, on any runtime. The shapes are those of the manifest's `sizes`.
///
/// Engines throw `TinySAMError.engine`, and their SDK's own errors.
public protocol SegmentationEngine: Sendable {
    /// `image` f32 (1, 3, S, S) of a photo that covers `validSize` of it → embedding f32 (1, C, S/16, S/16).
    func encode(image: FloatTensor, validSize: PixelSize) async throws -> FloatTensor

    /// One prompt, packed (1, N), and a mask prompt f32 (1, 1, m, m) or none.
    func decode(
        embedding: FloatTensor, prompt: PackedPrompts, maskInput: FloatTensor?
    ) async throws -> DecoderAnswer

    /// K prompts of one image, packed (K, N).
    func decodeBatch(embedding: FloatTensor, prompts: PackedPrompts) async throws -> DecoderAnswer
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
