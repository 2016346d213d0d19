import Foundation

/// A folder made by `tinysam-mobile fixtures`: photos and prompts to replay (`docs/device_loop.md`).
public struct FixtureSet: Sendable {
    public struct Photo: Decodable, Sendable {
        public let name: String
        public let title: String
        public let height: Int
        public let width: Int
        public let prompts: [PromptCase]

        public var size: PixelSize { PixelSize(height: height, width: width) }
    }

    public struct PromptCase: Decodable, Sendable {
        /// x0, y0, x1, y1, … in pixels of the photo.
        public let points: [Double]
        public let labels: [Int]
        public let box: [Double]?
        public let hasMaskInput: Bool
        /// x and y of the slots that are not used, where they must change nothing.
        public let spareXy: Float

        public func prompt() throws -> Prompt {
            try Prompt(coordinates: points, labels: labels, box: box)
        }
    }

    private struct Index: Decodable {
        let id: String
        let layoutVersion: Int
        let sizes: [String: Int]
        let photos: [Photo]
    }

    static let layoutVersion = 1

    public let folder: URL
    /// What a dump repeats.
    public let id: String
    public let photos: [Photo]
    let sizes: Sizes

    /// Throws `TinySAMError.fixtures` for an index that is no such index or made for other sizes than those
    /// of `manifest`.
    public init(folder: URL, manifest: Manifest) throws {
        let index: Index
        do {
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            let data = try Data(contentsOf: folder.appendingPathComponent("fixtures.json"))
            index = try decoder.decode(Index.self, from: data)
        } catch {
            throw TinySAMError.fixtures(
                reason: "\(folder.path)/fixtures.json cannot be read: \(error.localizedDescription)"
            )
        }
        guard index.layoutVersion == Self.layoutVersion else {
            throw TinySAMError.fixtures(
                reason: "layout version \(index.layoutVersion); this library replays \(Self.layoutVersion)"
            )
        }
        guard try Sizes(index.sizes) == manifest.sizes else {
            throw TinySAMError.fixtures(
                reason: "they are for a model of other sizes; run `tinysam-mobile fixtures` on this bundle"
            )
        }
        // Names become paths, so they are not taken as they come.
        for (number, photo) in index.photos.enumerated() where photo.name != "photo_\(number)" {
            throw TinySAMError.fixtures(reason: "photo \(number) must be named photo_\(number)")
        }
        self.folder = folder
        id = index.id
        photos = index.photos
        sizes = manifest.sizes
    }

    /// The pixels of photo `index`. Throws `TinySAMError.file` or `.image`.
    public func image(_ index: Int) throws -> RGBImage {
        let photo = photos[index]
        let shape = [photo.height, photo.width, RGBImage.channels]
        return try RGBImage(
            size: photo.size, pixels: RawTensor.bytes(file("photo_\(index)/pixels"), shape: shape))
    }

    /// The mask prompt f32 (1, 1, m, m) of a prompt, if it has one. Throws `TinySAMError.file`.
    public func maskInput(photo: Int, prompt: Int) throws -> FloatTensor? {
        guard photos[photo].prompts[prompt].hasMaskInput else { return nil }
        let shape = [1, 1, sizes.maskSize, sizes.maskSize]
        return try RawTensor.floats(file("photo_\(photo)/prompt_\(prompt)/mask_input"), shape: shape)
    }

    /// An engine that answers what the float model answered, read from the expected tensors.
    public func recordedEngine(manifest: Manifest) throws -> RecordedEngine {
        try RecordedEngine(manifest: manifest, photos: photos.indices.map { try recording($0, manifest) })
    }

    private func recording(_ photo: Int, _ manifest: Manifest) throws -> RecordedEngine.Photo {
        let side = sizes.imageSize
        let outputs = manifest.encoderOutputs
        var answers: [RecordedEngine.Question: LowResolution] = [:]
        for prompt in photos[photo].prompts.indices {
            let place = "photo_\(photo)/prompt_\(prompt)"
            let rows = try RawTensor.floats(file("\(place)/packed_prompt"), shape: [sizes.slots, 3])
            let question = try RecordedEngine.Question(
                rows: rows, mask: maskInput(photo: photo, prompt: prompt)
            )
            let masks = manifest.masksPerPrompt
            answers[question] = LowResolution(
                logits: try RawTensor.floats(
                    file("\(place)/low_res_logits"), shape: [masks, sizes.maskSize, sizes.maskSize]
                ),
                scores: try RawTensor.floats(file("\(place)/predicted_iou"), shape: [masks]).values
            )
        }
        return RecordedEngine.Photo(
            image: try RawTensor.floats(
                file("photo_\(photo)/preprocessed_image"), shape: [1, RGBImage.channels, side, side]
            ),
            features: try ImageFeatures(
                joined: RawTensor.floats(
                    file("photo_\(photo)/embedding"), shape: ImageFeatures.joinedShape(of: outputs)
                ), as: outputs
            ),
            answers: answers
        )
    }

    private func file(_ tensor: String) -> URL { folder.appendingPathComponent("\(tensor).bin") }
}
