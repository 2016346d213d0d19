/// What a search reports: how far it is, and once, at its end, what it found.
public enum SearchEvent: Equatable, Sendable {
    case progress(EverythingProgress)
    case finished(EverythingResult)
}

/// The library in one object: a model, one photo at a time, masks for taps, and everything on the photo.
///
///     let sam = try await TinySAM(bundle: url)          // TinySAMCoreML has this initializer
///     try await sam.setPhoto(image)
///     let mask = try await sam.mask(at: Point(x: 320, y: 240))
///     for try await event in try await sam.everything() { … }
public actor TinySAM {
    public nonisolated let predictor: Predictor
    private var photo: EncodedImage?

    public init(predictor: Predictor) {
        self.predictor = predictor
    }

    public init(manifest: Manifest, engine: any SegmentationEngine) {
        self.init(predictor: Predictor(manifest: manifest, engine: engine))
    }

    public nonisolated var manifest: Manifest { predictor.manifest }

    /// Encodes a photo, which takes most of the time; masks are then of this one. Throws what the engine throws.
    @discardableResult
    public func setPhoto(_ image: RGBImage) async throws -> EncodedImage {
        let encoded = try await predictor.encode(image)
        photo = encoded
        return encoded
    }

    /// Comes back to a photo that `setPhoto` returned, without encoding it again.
    public func setPhoto(_ encoded: EncodedImage) { photo = encoded }

    /// The mask of the object at a point of the photo, in its pixels. Throws as `predict`.
    public func mask(at point: Point) async throws -> Mask {
        try await best(Prompt(points: [PromptPoint(x: point.x, y: point.y)]))
    }

    /// The mask of the object in a box, in pixels of the photo. Throws as `predict`.
    public func mask(in box: Box) async throws -> Mask { try await best(Prompt(box: box)) }

    /// The masks of one prompt; `maskPrompt` is `lowResolution.maskPrompt` of an earlier answer, to refine it.
    ///
    /// Throws `TinySAMError.prompt` before the first photo and for a prompt that the model cannot take.
    public func predict(_ prompt: Prompt, refining maskPrompt: FloatTensor? = nil) async throws -> Prediction
    {
        try await predictor.predict(prompt, on: current(), refining: maskPrompt)
    }

    /// One object for each of a detector's boxes, in pixels of the photo and in their order. Throws as `predict`.
    public func objects(from boxes: [Box]) async throws -> [SegmentedObject] {
        try await predictor.objects(from: boxes, on: current())
    }

    /// Every object of the photo, searched while the sequence is read.
    ///
    /// A reader that stops reading ends the search before its next decoder call, with nothing; where `isStopped` says so
    /// it ends with what was found. Throws `TinySAMError.prompt` before the first photo.
    public func everything(
        _ options: EverythingOptions = .init(), isStopped: @escaping @Sendable () -> Bool = { false }
    ) throws -> AsyncThrowingStream<SearchEvent, any Error> {
        let image = try current()
        let generator = EverythingGenerator(predictor: predictor, options: options)
        return Self.events { tell in
            try await generator.generate(on: image, progress: tell, isStopped: isStopped)
        }
    }

    /// The same of a photo that is encoded for this, with its crops if the options say so.
    public nonisolated func everything(
        of photo: RGBImage, _ options: EverythingOptions,
        isStopped: @escaping @Sendable () -> Bool = { false }
    ) -> AsyncThrowingStream<SearchEvent, any Error> {
        let generator = EverythingGenerator(predictor: predictor, options: options)
        return Self.events { tell in
            try await generator.generate(on: photo, progress: tell, isStopped: isStopped)
        }
    }

    private static func events(
        of search: @escaping @Sendable (@escaping @Sendable (EverythingProgress) -> Void) async throws ->
            EverythingResult
    ) -> AsyncThrowingStream<SearchEvent, any Error> {
        AsyncThrowingStream { events in
            let task = Task {
                do {
                    events.yield(.finished(try await search { events.yield(.progress($0)) }))
                    events.finish()
                } catch {
                    events.finish(throwing: error)
                }
            }
            events.onTermination = { _ in task.cancel() }
        }
    }

    private func best(_ prompt: Prompt) async throws -> Mask {
        let prediction = try await predict(prompt)
        return prediction.mask(prediction.best)
    }

    private func current() throws -> EncodedImage {
        guard let photo else {
            throw TinySAMError.prompt(reason: "there is no photo: call setPhoto before the first prompt")
        }
        return photo
    }
}
