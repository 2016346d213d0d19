import CoreML
import Foundation
import TinySAMCoreML
import TinySAMKit

#if canImport(TinySAMExecuTorch)
import TinySAMExecuTorch
#endif

/// A model that the app carries: one runtime and recipe of the folder that `bundle-for-app ios` fills.
struct BundledModel: Sendable {
    let predictor: Predictor
    let folder: URL
    let runtime: String
    let recipe: String
    let computeUnit: String
    let loadMilliseconds: Double

    /// Runtimes of this build, the preferred first.
    private static var runtimes: [String] {
        #if canImport(TinySAMExecuTorch)
        ["coreml", "executorch"]
        #else
        ["coreml"]
        #endif
    }

    /// Throws `TinySAMError.file` if the app carries no bundle, and what its engine throws.
    static func load(computeUnits: MLComputeUnits = .all) async throws -> BundledModel {
        let start = ContinuousClock.now
        guard let folder = Bundle.main.url(forResource: "TinySAM", withExtension: nil) else {
            throw TinySAMError.file(
                path: "TinySAM", reason: "is not in the app; run `tinysam-mobile bundle-for-app ios BUNDLE`"
            )
        }
        let manifest = try Manifest(contentsOf: folder.appendingPathComponent("manifest.json"))
        guard
            let artifact = runtimes.lazy.compactMap({ runtime in
                manifest.artifacts.first { $0.runtime == runtime }
            }).first
        else {
            throw TinySAMError.manifest(
                field: "artifacts", reason: "none is for \(runtimes.joined(separator: " or "))"
            )
        }
        let engine = try await engine(artifact, manifest, folder, computeUnits)
        return BundledModel(
            predictor: Predictor(manifest: manifest, engine: engine), folder: folder,
            runtime: artifact.runtime, recipe: artifact.recipe,
            computeUnit: artifact.runtime == "coreml" ? computeUnits.name : "xnnpack",
            loadMilliseconds: (ContinuousClock.now - start).milliseconds
        )
    }

    private static func engine(
        _ artifact: Artifact, _ manifest: Manifest, _ folder: URL, _ computeUnits: MLComputeUnits
    ) async throws -> any SegmentationEngine {
        #if canImport(TinySAMExecuTorch)
        if artifact.runtime == "executorch" {
            return try ExecuTorchEngine(bundle: folder, manifest: manifest, recipe: artifact.recipe)
        }
        #endif
        return try await CoreMLEngine.load(
            bundle: folder, manifest: manifest, recipe: artifact.recipe, computeUnits: computeUnits
        )
    }
}

extension MLComputeUnits {
    /// As a dump names it.
    fileprivate var name: String {
        switch self {
        case .all: "all"
        case .cpuOnly: "cpuOnly"
        case .cpuAndGPU: "cpuAndGPU"
        case .cpuAndNeuralEngine: "cpuAndNeuralEngine"
        @unknown default: "unknown"
        }
    }
}
