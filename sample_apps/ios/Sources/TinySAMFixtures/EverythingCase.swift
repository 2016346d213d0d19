import TinySAMKit

/// One case of `everything.json`: a photo, settings, a recording of the decoder, and what must come out.
public struct EverythingCase: Decodable, Sendable {
    public struct Settings: Decodable, Sendable {
        let hierarchical: Bool
        let pointsPerSide: Double
        let predIouThresh: Double
        let stabilityScoreThresh: Double
        let stabilityScoreOffset: Double
        let highScoreThresh: Double
        let boxNmsThresh: Double
        let cropNmsThresh: Float
        let minRegionArea: Int
        let maxDecoderCalls: Int?
        /// Those of `everything_crops.json`.
        let cropLayers: Int?
        let cropPointsDownscale: Int?

        func options(_ mode: EverythingMode) -> EverythingOptions {
            var options = EverythingOptions()
            options.mode = mode
            options.isHierarchical = hierarchical
            options.minRegionArea = minRegionArea
            options.maxDecoderCalls = maxDecoderCalls
            options.cropLayers = cropLayers ?? 0
            options.cropPointsDownscale = cropPointsDownscale ?? 1
            return options
        }

        func thresholds() throws -> EverythingThresholds {
            try EverythingThresholds([
                "points_per_side": pointsPerSide, "pred_iou_thresh": predIouThresh,
                "stability_score_thresh": stabilityScoreThresh,
                "stability_score_offset": stabilityScoreOffset, "high_score_thresh": highScoreThresh,
                "box_nms_thresh": boxNmsThresh,
            ])
        }
    }

    public struct Object: Decodable, Sendable {
        public let point: [Double]
        public let maskIndex: Int
        public let score: Float
        public let stability: Float
        public let box: [Int]
        public let counts: [Int]
    }

    public let name: String
    public let height: Int
    public let width: Int
    public let settings: Settings
    /// Those of the fast mode, which is then what the case is for.
    let rules: FastSearchRules?
    let logits: SharedFixtures.Tensor
    let scale: Float
    let recordedPoints: SharedFixtures.Tensor
    let answers: [Int]
    let recordedScores: SharedFixtures.Tensor
    /// u8 (H, W, 3), where the case is meant to be looked at.
    let pixels: SharedFixtures.Tensor?

    public let visited: [Double]
    public let decoderCalls: Int
    /// Where the fast mode scores first, as on the host …
    public let scoreCalls: Int?
    /// … by a model whose scores are off by this.
    let scoreError: Float?
    /// Where it cannot; none if the answer is another then.
    public let decoderCallsWithoutScores: Int?
    public let stoppedEarly: Bool
    public let objects: [Object]

    public var size: PixelSize { PixelSize(height: height, width: width) }

    /// Everything mode of this library on the recording, by a model with or without `score_batch`.
    public func generate(
        _ fixtures: SharedFixtures, scoring: Bool = true
    ) async throws -> EverythingResult {
        let manifest = try fixtures.manifest()
        let search = manifest.everythingSearch.with(
            cropNmsThresh: settings.cropNmsThresh, fast: rules
        )
        let generator = EverythingGenerator(
            predictor: Predictor(manifest: manifest, engine: try engine(fixtures, manifest, scoring)),
            options: settings.options(rules == nil ? .exact : .fast),
            thresholds: try settings.thresholds(), rules: search
        )
        guard settings.cropLayers == nil else {
            let grey = [UInt8](repeating: 0, count: size.area)
            return try await generator.generate(on: RGBImage(size: size, grey: grey))
        }
        return try await generator.generate(on: image(manifest))
    }

    /// The photo. Throws `TinySAMError.fixtures` if the case has none.
    public func photo(_ fixtures: SharedFixtures) throws -> RGBImage {
        guard let pixels else { throw TinySAMError.fixtures(reason: "\(name) has no pixels to draw over") }
        return try RGBImage(size: size, pixels: fixtures.bytes(pixels))
    }

    private func image(_ manifest: Manifest) -> EncodedImage {
        EncodedImage(
            features: Self.features(manifest),
            geometry: Geometry(originalSize: size, imageSize: manifest.sizes.imageSize, rules: manifest.rules)
        )
    }

    /// Stands for what `encode` returned, which a recording does not read.
    private static func features(_ manifest: Manifest) -> ImageFeatures {
        let zeros = manifest.encoderOutputs.map { spec in
            (spec.name, FloatTensor(shape: spec.shape) { $0.update(repeating: 0) })
        }
        return ImageFeatures(values: Dictionary(uniqueKeysWithValues: zeros))
    }

    public func engine(
        _ fixtures: SharedFixtures, _ manifest: Manifest, _ scoring: Bool = true
    ) throws -> RecordedEngine {
        let pictures = try pictures(fixtures)
        let points = try fixtures.floats(recordedPoints)
        let scores = try fixtures.floats(recordedScores)
        let masks = manifest.masksPerPrompt
        var recorded: [RecordedEngine.Question: LowResolution] = [:]
        for (row, answer) in answers.enumerated() {
            // A point on the object and its pad point.
            let slots: [Float] = [
                points[2 * row], points[2 * row + 1], Float(SlotLabel.foreground.rawValue),
                0, 0, Float(SlotLabel.pad.rawValue),
            ]
            let rows = try FloatTensor(shape: [2, 3], values: slots)
            recorded[.init(rows: rows)] = LowResolution(
                logits: pictures[answer], scores: (0..<masks).map { scores[row * masks + $0] }
            )
        }
        let photo = RecordedEngine.Photo(image: nil, features: Self.features(manifest), answers: recorded)
        return RecordedEngine(manifest: manifest, photos: [photo], scoreError: scoring ? scoreError : nil)
    }

    /// The recorded answers, f32 (masks, m, m) each.
    private func pictures(_ fixtures: SharedFixtures) throws -> [FloatTensor] {
        let values = try fixtures.signedBytes(logits)
        let shape = Array(logits.shape.dropFirst())
        let length = shape.reduce(1, *)
        return (0..<logits.shape[0]).map { picture in
            FloatTensor(shape: shape) { target in
                for i in 0..<length { target[i] = Float(values[picture * length + i]) * scale }
            }
        }
    }
}
