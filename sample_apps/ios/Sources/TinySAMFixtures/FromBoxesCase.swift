import TinySAMKit

/// One case of `from_boxes.json`: a photo, boxes, a recording of the decoder, and what must come out.
public struct FromBoxesCase: Decodable, Sendable {
    public let name: String
    let height, width: Int
    let boxes: [Double]
    let logits: SharedFixtures.Tensor
    let scale: Float
    let recordedBoxes: [Float]
    let answers: [Int]
    let recordedScores: [Float]
    /// u8 (H, W, 3), where the case is meant to be looked at.
    let pixels: SharedFixtures.Tensor?
    public let objects: [EverythingCase.Object]

    public var size: PixelSize { PixelSize(height: height, width: width) }

    /// What this library finds in the boxes.
    public func found(_ fixtures: SharedFixtures) async throws -> [SegmentedObject] {
        let manifest = try fixtures.manifest()
        let features = ImageFeatures(values: [:])
        let engine = try engine(fixtures, manifest, features)
        let image = EncodedImage(
            features: features,
            geometry: Geometry(
                originalSize: size, imageSize: manifest.sizes.imageSize, rules: manifest.rules)
        )
        let detected = stride(from: 0, to: boxes.count, by: 4).map {
            Box(x0: boxes[$0], y0: boxes[$0 + 1], x1: boxes[$0 + 2], y1: boxes[$0 + 3])
        }
        return try await Predictor(manifest: manifest, engine: engine).objects(from: detected, on: image)
    }

    /// The photo. Throws `TinySAMError.fixtures` if the case has none.
    public func photo(_ fixtures: SharedFixtures) throws -> RGBImage {
        guard let pixels else { throw TinySAMError.fixtures(reason: "\(name) has no pixels to draw over") }
        return try RGBImage(size: size, pixels: fixtures.bytes(pixels))
    }

    private func engine(
        _ fixtures: SharedFixtures, _ manifest: Manifest, _ features: ImageFeatures
    ) throws -> RecordedEngine {
        let steps = try fixtures.signedBytes(logits)
        let shape = Array(logits.shape.dropFirst())
        let length = shape.reduce(1, *)
        let masks = manifest.masksPerPrompt
        var recorded: [RecordedEngine.Question: LowResolution] = [:]
        for (row, answer) in answers.enumerated() {
            let corners = Array(recordedBoxes[row * 4..<row * 4 + 4])
            let slots = [
                corners[0], corners[1], Float(SlotLabel.boxTopLeft.rawValue),
                corners[2], corners[3], Float(SlotLabel.boxBottomRight.rawValue),
            ]
            let values = steps[answer * length..<(answer + 1) * length].map { Float($0) * scale }
            recorded[.init(rows: try FloatTensor(shape: [2, 3], values: slots))] = LowResolution(
                logits: try FloatTensor(shape: shape, values: values),
                scores: Array(recordedScores[row * masks..<(row + 1) * masks])
            )
        }
        return RecordedEngine(
            manifest: manifest, photos: [.init(image: nil, features: features, answers: recorded)])
    }
}
