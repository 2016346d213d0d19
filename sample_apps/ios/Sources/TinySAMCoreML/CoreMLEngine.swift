#if canImport(CoreML)
import CoreML
import Foundation
import TinySAMKit

/// The Core ML artifacts of a bundle behind the contract.
///
/// Predictions block, so they run on a queue of their own and not on a thread of the cooperative pool.
public actor CoreMLEngine: EntryPointEngine {
    private let queue = DispatchSerialQueue(label: "tinysam.coreml")
    public nonisolated var unownedExecutor: UnownedSerialExecutor { queue.asUnownedSerialExecutor() }

    public nonisolated let maskSize: Int
    private var functions: [EntryPoint: CoreMLFunction] = [:]

    /// Loads the `recipe` of the bundle in `folder`, whose manifest is `manifest`.
    ///
    /// Packages are compiled at the first start and kept in `cache`; loading suspends and blocks no thread. Throws `TinySAMError.manifest` if the
    /// bundle has no such artifacts, `.engine` if a model is not the manifest's, and Core ML's own errors.
    public static func load(
        bundle folder: URL, manifest: Manifest, recipe: String, computeUnits: MLComputeUnits = .all,
        cache: URL = .cachesDirectory
    ) async throws -> CoreMLEngine {
        let models = CompiledModels(cache: cache)
        models.removeAll(but: manifest.artifacts)
        let engine = CoreMLEngine(maskSize: manifest.sizes.maskSize)
        for artifact in try manifest.artifacts(runtime: "coreml", recipe: recipe) {
            let url = try await models.url(of: artifact, in: folder)
            try await engine.load(artifact, url, manifest, computeUnits)
        }
        return engine
    }

    private init(maskSize: Int) {
        self.maskSize = maskSize
    }

    /// The functions of one compiled package.
    private func load(
        _ artifact: Artifact, _ url: URL, _ manifest: Manifest, _ computeUnits: MLComputeUnits
    ) async throws {
        for (name, function) in artifact.entryPoints {
            guard let entry = EntryPoint(rawValue: name), let signature = manifest.entryPoints[entry] else {
                continue
            }
            functions[entry] = try await CoreMLFunction.load(
                url, function: function, signature: signature, computeUnits: computeUnits
            )
        }
    }

    public func has(_ entry: EntryPoint) -> Bool { functions[entry] != nil }

    public func run(_ entry: EntryPoint, _ inputs: [String: EntryPointInput]) throws -> [String: FloatTensor]
    {
        try function(entry).run(inputs)
    }

    private func function(_ entry: EntryPoint) throws -> CoreMLFunction {
        guard let function = functions[entry] else {
            throw TinySAMError.engine(reason: "no Core ML package has '\(entry.rawValue)'")
        }
        return function
    }
}

extension TinySAM {
    /// Opens the bundle in the folder `url`, such as the one that `tinysam-mobile bundle-for-app ios` fills.
    ///
    /// `recipe` is one of the bundle's; by default its first for Core ML. Throws as `CoreMLEngine.load`.
    public init(bundle url: URL, recipe: String? = nil, computeUnits: MLComputeUnits = .all) async throws {
        let manifest = try Manifest(contentsOf: url.appendingPathComponent("manifest.json"))
        guard let chosen = recipe ?? manifest.artifacts.first(where: { $0.runtime == "coreml" })?.recipe
        else {
            throw TinySAMError.manifest(field: "artifacts", reason: "none is for Core ML")
        }
        let engine = try await CoreMLEngine.load(
            bundle: url, manifest: manifest, recipe: chosen, computeUnits: computeUnits
        )
        self.init(manifest: manifest, engine: engine)
    }
}
#endif
