/// An engine that answers from a recording and refuses what was not recorded: for tests, and to prove that
/// everything around a model is right.
public struct RecordedEngine: SegmentationEngine {
    /// One photo that was encoded.
    public struct Photo: Sendable {
        /// f32 (1, 3, S, S) as `encode` took it; none if the photo is not encoded, or stands for any.
        public let image: FloatTensor?
        public let features: ImageFeatures
        public let answers: [Question: LowResolution]

        public init(image: FloatTensor?, features: ImageFeatures, answers: [Question: LowResolution]) {
            self.image = image
            self.features = features
            self.answers = answers
        }
    }

    /// What the decoder was asked about one photo.
    public struct Question: Hashable, Sendable {
        /// x, y in the S frame and label of each slot that is used.
        let slots: [Float]
        /// Values of the mask prompt.
        let mask: [Float]?

        /// `rows` f32 (N, 3) as a dump holds a packed prompt.
        public init(rows: FloatTensor, mask: FloatTensor? = nil) {
            let values = rows.values
            slots = stride(from: 0, to: values.count, by: 3)
                .filter { values[$0 + 2] != Float(SlotLabel.unused.rawValue) }
                .flatMap { values[$0..<$0 + 3] }
            self.mask = mask?.values
        }
    }

    private let photos: [Photo]
    private let masksPerPrompt: Int
    private let maskSize: Int
    private let scoreError: Float?

    /// Scores that come first are the recorded ones plus `scoreError`; without it the engine gives none.
    public init(manifest: Manifest, photos: [Photo], scoreError: Float? = nil) {
        self.photos = photos
        self.scoreError = scoreError
        masksPerPrompt = manifest.masksPerPrompt
        maskSize = manifest.sizes.maskSize
    }

    public func encode(image: FloatTensor, validSize: PixelSize) async throws -> ImageFeatures {
        // One photo without an image stands for whatever is encoded.
        guard let photo = photos.first(where: { $0.image == image || (photos.count == 1 && $0.image == nil) })
        else {
            throw TinySAMError.engine(reason: "this image was not recorded: preprocessing gave other values")
        }
        return photo.features
    }

    public func decode(
        features: ImageFeatures, prompt: PackedPrompts, maskInput: FloatTensor?
    ) async throws -> DecoderAnswer {
        let question = Question(rows: prompt.rows(of: 0), mask: maskInput)
        return batched([try answer(question, to: features) ?? empty])
    }

    public func decodeBatch(features: ImageFeatures, prompts: PackedPrompts) async throws -> DecoderAnswer {
        batched(
            try (0..<prompts.count).map { row in
                try answer(Question(rows: prompts.rows(of: row)), to: features) ?? empty
            })
    }

    public var canScore: Bool { scoreError != nil }

    public func scoreBatch(features: ImageFeatures, prompts: PackedPrompts) async throws -> FloatTensor {
        let rows = try (0..<prompts.count).map { row in
            try answer(Question(rows: prompts.rows(of: row)), to: features)?.scores
        }
        return FloatTensor(shape: [rows.count, masksPerPrompt]) { target in
            for i in target.indices {
                target[i] = (rows[i / masksPerPrompt]?[i % masksPerPrompt] ?? 0) + (scoreError ?? 0)
            }
        }
    }

    /// Nil for a row of unused slots.
    private func answer(_ question: Question, to features: ImageFeatures) throws -> LowResolution? {
        if question.slots.isEmpty, question.mask == nil { return nil }
        guard let photo = photos.first(where: { $0.features == features }) else {
            throw TinySAMError.engine(reason: "these features were not recorded")
        }
        guard let answer = photo.answers[question] else {
            throw TinySAMError.engine(reason: "a prompt with the slots \(question.slots) was not recorded")
        }
        return answer
    }

    private var empty: LowResolution {
        LowResolution(
            logits: FloatTensor(shape: [masksPerPrompt, maskSize, maskSize]) { $0.update(repeating: 0) },
            scores: Array(repeating: 0, count: masksPerPrompt)
        )
    }

    private func batched(_ answers: [LowResolution]) -> DecoderAnswer {
        let length = masksPerPrompt * maskSize * maskSize
        let masks = FloatTensor(shape: [answers.count, masksPerPrompt, maskSize, maskSize]) { target in
            for (row, answer) in answers.enumerated() {
                answer.logits.withUnsafeValues { values in
                    _ = UnsafeMutableBufferPointer(rebasing: target[row * length..<(row + 1) * length])
                        .update(fromContentsOf: values)
                }
            }
        }
        let scores = FloatTensor(shape: [answers.count, masksPerPrompt]) { target in
            _ = target.update(fromContentsOf: answers.flatMap(\.scores))
        }
        return DecoderAnswer(lowResMasks: masks, iouPredictions: scores)
    }
}
