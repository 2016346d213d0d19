/// How everything mode searches.
public enum EverythingMode: String, CaseIterable, Sendable {
    /// The official generator's points, order and survivors.
    case exact
    /// Judges masks on their low-resolution logits, skips points beside which nothing was found, and takes only what
    /// is left in the end to full size.
    case fast
}

/// What a caller of everything mode may choose; the thresholds are the checkpoint's, from its manifest.
public struct EverythingOptions: Sendable {
    public var mode = EverythingMode.fast
    /// TinySAM's two rounds (arXiv 2312.13789, section 3.4); false: Segment Anything's flat grid.
    public var isHierarchical = true
    /// Segment Anything's crops, which find small things in large photos: layer i has 2ⁱ x 2ⁱ of them, each encoded on
    /// its own. Of the flat grid only, and of `generate(on:)` with a photo.
    public var cropLayers = 0
    /// The grid of layer i has this many times fewer points along each side, to the power of i.
    public var cropPointsDownscale = 1
    /// Holes and islands of fewer pixels go; 0 leaves masks as they are.
    public var minRegionArea = 0
    /// The search ends with what was found before the call that would be one too many.
    public var maxDecoderCalls: Int?
    /// The search ends with what was found once this much time has passed.
    public var timeBudget: Duration?

    public init() {}
}

/// One mask of the photo; everything in original-image pixels.
public struct SegmentedObject: Equatable, Sendable {
    public let runs: RunLengths
    public let box: PixelBox
    /// The predicted IoU.
    public let score: Float
    public let stability: Float
    /// The prompt that found it.
    public let point: Point
    /// Which of the prompt's masks it is.
    public let maskIndex: Int
}

/// Objects by falling score, and what they cost.
public struct EverythingResult: Equatable, Sendable {
    public let objects: [SegmentedObject]
    /// The prompts that were scored or decoded, in order, in original-image pixels.
    public let points: [Point]
    /// Calls that make masks.
    public let decoderCalls: Int
    /// Calls that only score.
    public let scoreCalls: Int
    /// Whether a budget ended the search.
    public let stoppedEarly: Bool
}

/// How far everything mode is.
public struct EverythingProgress: Equatable, Sendable {
    public let decodedPoints: Int
    /// Points of this round that wait. The second round is counted once the first has ended.
    public let waitingPoints: Int
    /// Masks that survived so far, before duplicates go.
    public let candidates: Int
}

/// Finds every object of a photo, with the masks, order and survivors of the host's `segment/everything.py`.
public struct EverythingGenerator: Sendable {
    let predictor: Predictor
    let thresholds: EverythingThresholds
    let rules: EverythingSearchRules
    let options: EverythingOptions

    /// Thresholds and rules are the manifest's unless others are given.
    public init(
        predictor: Predictor, options: EverythingOptions = .init(), thresholds: EverythingThresholds? = nil,
        rules: EverythingSearchRules? = nil
    ) {
        self.predictor = predictor
        self.options = options
        self.rules = rules ?? predictor.manifest.everythingSearch
        self.thresholds = thresholds ?? predictor.manifest.everything
    }

    /// Segments a photo, with its crops if the options say so. Else as with an encoded one.
    public func generate(
        on photo: RGBImage, progress: @Sendable (EverythingProgress) -> Void = { _ in },
        isStopped: @escaping @Sendable () -> Bool = { false }
    ) async throws -> EverythingResult {
        guard options.cropLayers > 0 else {
            return try await generate(
                on: predictor.encode(photo), progress: progress, isStopped: isStopped
            )
        }
        return try await generateInCrops(of: photo, progress, isStopped)
    }

    /// Segments an encoded photo. `progress` is called between decoder calls, on any thread.
    ///
    /// `isStopped` is asked before each call: if it says so the search ends with what was found. Throws
    /// `CancellationError` soon after the task is cancelled, which leaves nothing, what the engine throws, and
    /// `TinySAMError.prompt` if crops were asked for, which need the photo itself.
    public func generate(
        on image: EncodedImage, progress: @Sendable (EverythingProgress) -> Void = { _ in },
        isStopped: @escaping @Sendable () -> Bool = { false }
    ) async throws -> EverythingResult {
        guard options.cropLayers == 0 else {
            throw TinySAMError.prompt(
                reason: "crops are encoded one by one: call generate(on:) with the photo itself")
        }
        let lattice = PointLattice(
            rules: rules, pointsPerSide: thresholds.pointsPerSide, size: image.geometry.originalSize
        )
        let judge = judge(image.geometry, watched: options.isHierarchical ? lattice.secondRound : [])
        var search = await search(image, judge, isStopped)
        let found: [Candidate]
        if options.isHierarchical {
            found = try await hierarchical(&search, lattice, progress)
        } else {
            found = try await search.decode(lattice.flat, progress).candidates
        }
        return result(of: search, judge.finished(found))
    }

    func search(
        _ image: EncodedImage, _ judge: any CandidateJudge, _ isStopped: @escaping @Sendable () -> Bool
    ) async -> EverythingSearch {
        let scoresFirst = options.mode == .fast ? await predictor.canScore : false
        return EverythingSearch(
            predictor: predictor, image: image, options: options, judge: judge,
            floor: scoresFirst ? thresholds.predictedIoU(less: rules.fast.scoreSlack) : nil,
            isStopped: isStopped
        )
    }

    func result(of search: EverythingSearch, _ found: [SegmentedObject]) -> EverythingResult {
        let objects = options.minRegionArea > 0 ? cleaned(found) : found
        return EverythingResult(
            objects: stableOrder(falling: objects.map(\.score)).map { objects[$0] },
            points: search.visited, decoderCalls: search.decoderCalls,
            scoreCalls: search.scoreCalls, stoppedEarly: search.stoppedEarly
        )
    }

    func judge(_ geometry: Geometry, watched: [Point]) -> any CandidateJudge {
        let maskSize = predictor.manifest.sizes.maskSize
        let threshold = predictor.manifest.postprocess.maskThreshold
        let upscaler = MaskUpscaler(geometry: geometry, maskSize: maskSize)
        switch options.mode {
        case .exact:
            return ExactJudge(
                thresholds: thresholds, maskThreshold: threshold, upscaler: upscaler, watched: watched
            )
        case .fast:
            return FastJudge(
                thresholds: thresholds, rules: rules.fast, maskThreshold: threshold, upscaler: upscaler,
                extent: LowResolutionExtent(geometry: geometry, maskSize: maskSize), watched: watched
            )
        }
    }

    /// Both rounds; survivors of the second come first, which decides ties.
    private func hierarchical(
        _ search: inout EverythingSearch, _ lattice: PointLattice,
        _ progress: @Sendable (EverythingProgress) -> Void
    ) async throws -> [Candidate] {
        let coarse = lattice.coarseLattice
        let first = try await search.decode(coarse.map(\.point), progress)
        let open = lattice.secondRoundLattice.enumerated()
            .filter { !first.covered.contains($0.offset) }
            .map(\.element)
        switch options.mode {
        case .exact:
            return try await search.decode(open.map(\.point), progress).candidates + first.candidates
        case .fast:
            let first = (points: coarse, found: first)
            return try await refined(open, after: first, &search, progress) + first.found.candidates
        }
    }

    /// The white points of a chessboard, then the black ones that may have a mask: those beside a point whose score came
    /// near to the threshold, and those of which nothing is known, since all around them is covered.
    private func refined(
        _ open: [LatticePoint], after first: (points: [LatticePoint], found: EverythingSearch.Found),
        _ search: inout EverythingSearch, _ progress: @Sendable (EverythingProgress) -> Void
    ) async throws -> [Candidate] {
        let white = open.filter(\.isWhite)
        let second = try await search.decode(white.map(\.point), progress)
        let decoded = first.points + white
        let scores = first.found.bestScores + second.bestScores
        let enough = thresholds.predictedIoU(less: rules.fast.nearIouSlack)
        let known = Set(decoded.map(\.cell))
        let near = Set(zip(decoded, scores).filter { $0.1 > enough }.map(\.0.cell))
        let black = open.filter { point in
            let around = point.cell.neighbours
            return !point.isWhite
                && (around.contains(where: near.contains) || !around.contains(where: known.contains))
        }
        return second.candidates + (try await search.decode(black.map(\.point), progress).candidates)
    }

    /// Fills small holes and drops small islands, then an NMS that prefers masks which needed neither.
    private func cleaned(_ objects: [SegmentedObject]) -> [SegmentedObject] {
        var untouched: [Float] = []
        let cleaned = objects.map { found -> SegmentedObject in
            let mask = found.runs.mask
            let filled = mask.removingSmallRegions(.holes, below: options.minRegionArea)
            let kept = (filled ?? mask).removingSmallRegions(.islands, below: options.minRegionArea)
            guard let changed = kept ?? filled else {
                untouched.append(1)
                return found
            }
            untouched.append(0)
            let runs = RunLengths(changed)
            return SegmentedObject(
                runs: runs, box: runs.box, score: found.score, stability: found.stability,
                point: found.point, maskIndex: found.maskIndex
            )
        }
        let threshold = max(thresholds.boxIoU, rules.cropNmsThresh)
        return nonMaximumSuppression(
            boxes: cleaned.map(\.box), scores: untouched, iouThreshold: threshold
        ).map { cleaned[$0] }
    }
}
