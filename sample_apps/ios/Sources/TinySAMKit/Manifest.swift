import Foundation

/// `manifest.json` of a bundle: everything that an app must know about a converted model.
///
/// Reading is strict. A field that is missing, of another type or at odds with another one is an error that
/// names it; so is a rule that this library does not implement, since it would give wrong masks silently.
public struct Manifest: Sendable, Equatable {
    public let checkpoint: Checkpoint
    public let sizes: Sizes
    /// Those of the model's family.
    public let rules: Rules
    /// Those of this model: `score_batch` may be missing.
    public let entryPoints: [EntryPoint: Signature]
    public let preprocess: PreprocessRules
    public let prompts: PromptRules
    public let postprocess: PostprocessRules
    /// The checkpoint's thresholds of everything mode.
    public let everything: EverythingThresholds
    /// How everything mode searches.
    public let everythingSearch: EverythingSearchRules
    public let artifacts: [Artifact]
    /// Runtime → the release that judged its files on the host, where that matters to an app.
    public let runtimes: [String: String]
    /// Masks of one prompt: in most families whole, part and subpart, in no fixed order.
    public var masksPerPrompt: Int { rules.numMasks }

    /// What `encode` returns, in order: all that decoding needs of the image.
    public var encoderOutputs: [TensorSpec] { entryPoints[.encode]?.outputs ?? [] }

    /// Slots of a prompt of `score_batch`, fewer than N since what a prompt costs there grows with their square.
    public var scoreSlots: Int? {
        entryPoints[.scoreBatch]?.inputs.first { $0.name == TensorName.pointCoords }?.shape[1]
    }

    /// Throws `TinySAMError.manifest`, or `.file` if `url` cannot be read.
    public init(contentsOf url: URL) throws {
        let data: Data
        do {
            data = try Data(contentsOf: url)
        } catch {
            throw TinySAMError.file(path: url.path, reason: "cannot be read: \(error.localizedDescription)")
        }
        try self.init(data: data)
    }

    /// Throws `TinySAMError.manifest`.
    public init(data: Data) throws {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        do {
            // The version first: another one may well lack what the rest asks for.
            try ManifestFile.checkVersion(decoder.decode(ManifestVersion.self, from: data).schemaVersion)
            try self.init(file: decoder.decode(ManifestFile.self, from: data))
        } catch let error as DecodingError {
            throw TinySAMError.manifest(field: error.field, reason: error.reason)
        }
    }

    private init(file: ManifestFile) throws {
        checkpoint = file.checkpoint
        sizes = try Sizes(file.sizes)
        rules = file.rules
        entryPoints = try EntryPoint.signatures(file.entryPoints)
        preprocess = file.preprocess
        prompts = file.prompts
        postprocess = file.postprocess
        everything = try EverythingThresholds(file.everything)
        everythingSearch = file.everythingSearch
        artifacts = file.artifacts
        runtimes = file.runtimes
        guard rules.fixedPoints <= sizes.slots else {
            throw TinySAMError.manifest(
                field: "sizes.slots", reason: "must be rules.fixed_points, \(rules.fixedPoints), or more")
        }
        try preprocess.check(sizes)
        try prompts.check(sizes)
        try postprocess.check(sizes)
        try everythingSearch.check(everything)
        try ContractShapes(sizes: sizes, rules: rules, signatures: entryPoints).check()
        try artifacts.forEach { try $0.check() }
    }

    /// The artifacts of one runtime and recipe, encoder and decoder. Throws `TinySAMError.manifest` that
    /// lists what there is if an entry point has none.
    public func artifacts(runtime: String, recipe: String) throws -> [Artifact] {
        let chosen = artifacts.filter { $0.runtime == runtime && $0.recipe == recipe }
        let present = Set(chosen.flatMap(\.entryPoints.keys))
        if let missing = EntryPoint.needed.first(where: { !present.contains($0.rawValue) }) {
            let known = Set(artifacts.map { "\($0.runtime) \($0.recipe)" }).sorted().joined(separator: ", ")
            throw TinySAMError.manifest(
                field: "artifacts",
                reason: "\(runtime) \(recipe) has no '\(missing.rawValue)'; this bundle has \(known)"
            )
        }
        return chosen
    }
}

/// What is called of a model; the names are those of the manifest.
public enum EntryPoint: String, CaseIterable, Sendable {
    case encode
    case decode
    case decodeBatch = "decode_batch"
    /// Scores without masks, which some artifacts cannot give.
    case scoreBatch = "score_batch"

    static let needed: [EntryPoint] = [.encode, .decode, .decodeBatch]

    fileprivate static func signatures(_ named: [String: Signature]) throws -> [EntryPoint: Signature] {
        if let missing = needed.first(where: { named[$0.rawValue] == nil }) {
            throw TinySAMError.manifest(
                field: "entry_points", reason: "'\(missing.rawValue)' is missing; convert again"
            )
        }
        return allCases.reduce(into: [:]) { $0[$1] = named[$1.rawValue] }
    }
}

private struct ManifestVersion: Decodable {
    let schemaVersion: Int
}

/// The file as it is written, before its parts are checked against each other.
private struct ManifestFile: Decodable {
    static let schemaVersion = 1

    let checkpoint: Checkpoint
    let sizes: [String: Int]
    let rules: Rules
    let entryPoints: [String: Signature]
    let preprocess: PreprocessRules
    let prompts: PromptRules
    let postprocess: PostprocessRules
    let everything: [String: Double]
    let everythingSearch: EverythingSearchRules
    let artifacts: [Artifact]
    let runtimes: [String: String]

    static func checkVersion(_ found: Int) throws {
        guard found == schemaVersion else {
            throw TinySAMError.manifest(
                field: "schema_version",
                reason:
                    "is \(found), this library reads \(schemaVersion); convert again or update the library"
            )
        }
    }
}

extension DecodingError {
    /// Where in the file, with the names of the file.
    fileprivate var field: String {
        let (path, last): ([any CodingKey], (any CodingKey)?) =
            switch self {
            case let .keyNotFound(key, context): (context.codingPath, key)
            case let .typeMismatch(_, context), let .valueNotFound(_, context): (context.codingPath, nil)
            case let .dataCorrupted(context): (context.codingPath, nil)
            @unknown default: ([], nil)
            }
        let names = (path + (last.map { [$0] } ?? [])).map { $0.intValue.map(String.init) ?? $0.stringValue }
        return names.isEmpty ? "the file" : names.joined(separator: ".")
    }

    fileprivate var reason: String {
        switch self {
        case .keyNotFound: "is missing"
        case let .typeMismatch(type, _): "must be of type \(type)"
        case .valueNotFound: "must not be null"
        case let .dataCorrupted(context): "is not valid: \(context.debugDescription)"
        @unknown default: "cannot be read"
        }
    }
}
