import CoreML
import Foundation
import TinySAMCoreML
import TinySAMKit

#if canImport(TinySAMExecuTorch)
import TinySAMExecuTorch
#endif

/// What can run the model.
enum EngineChoice: CaseIterable, Hashable, Identifiable, Sendable {
    case all
    case neuralEngine
    case gpu
    case cpu
    #if canImport(TinySAMExecuTorch)
    case executorch
    #endif

    var id: Self { self }

    /// As in manifest.json.
    var runtime: String {
        #if canImport(TinySAMExecuTorch)
        if self == .executorch { return "executorch" }
        #endif
        return "coreml"
    }

    /// As a dump names it; `artifact` is the decoder.
    func computeUnit(_ artifact: Artifact) -> String {
        switch self {
        case .all: "all"
        case .neuralEngine: "cpuAndNeuralEngine"
        case .gpu: "cpuAndGPU"
        case .cpu: "cpuOnly"
        #if canImport(TinySAMExecuTorch)
        case .executorch: artifact.details?.backend ?? "as the .pte says"
        #endif
        }
    }

    var computeUnits: MLComputeUnits {
        switch self {
        case .neuralEngine: .cpuAndNeuralEngine
        case .gpu: .cpuAndGPU
        case .cpu: .cpuOnly
        default: .all
        }
    }

    var name: String {
        switch self {
        case .all: String(localized: "Core ML, any unit")
        case .neuralEngine: String(localized: "Core ML, Neural Engine")
        case .gpu: String(localized: "Core ML, GPU")
        case .cpu: String(localized: "Core ML, CPU")
        #if canImport(TinySAMExecuTorch)
        case .executorch: String(localized: "ExecuTorch")
        #endif
        }
    }
}

/// A model that the app carries: one runtime and recipe of the folder that `bundle-for-app ios` fills.
struct BundledModel: Sendable {
    let predictor: Predictor
    let folder: URL
    let runtime: String
    let recipe: String
    let computeUnit: String
    let loadMilliseconds: Double

    /// Whether the app carries fixtures to replay.
    var hasFixtures: Bool {
        FileManager.default.fileExists(atPath: folder.appendingPathComponent("fixtures/fixtures.json").path)
    }

    /// Throws `TinySAMError.file` if the app carries no bundle, `.manifest` if it has nothing for the engine, and what
    /// the engine throws.
    static func load(_ choice: EngineChoice) async throws -> BundledModel {
        let start = ContinuousClock.now
        guard let folder = Bundle.main.url(forResource: "bundle", withExtension: nil, subdirectory: "Model")
        else {
            throw TinySAMError.file(
                path: "Model/bundle",
                reason: "is not in the app; run `tinysam-mobile bundle-for-app ios BUNDLE`"
            )
        }
        let manifest = try Manifest(contentsOf: folder.appendingPathComponent("manifest.json"))
        guard
            let artifact = manifest.artifacts.first(where: {
                $0.runtime == choice.runtime && $0.component == .decoder
            })
        else {
            throw TinySAMError.manifest(field: "artifacts", reason: "none is for \(choice.runtime)")
        }
        let engine = try await engine(choice, artifact, manifest, folder)
        return BundledModel(
            predictor: Predictor(manifest: manifest, engine: engine), folder: folder,
            runtime: artifact.runtime, recipe: artifact.recipe, computeUnit: choice.computeUnit(artifact),
            loadMilliseconds: (ContinuousClock.now - start).milliseconds
        )
    }

    private static func engine(
        _ choice: EngineChoice, _ artifact: Artifact, _ manifest: Manifest, _ folder: URL
    ) async throws -> any SegmentationEngine {
        #if canImport(TinySAMExecuTorch)
        if choice == .executorch {
            return try ExecuTorchEngine(bundle: folder, manifest: manifest, recipe: artifact.recipe)
        }
        #endif
        return try await CoreMLEngine.load(
            bundle: folder, manifest: manifest, recipe: artifact.recipe, computeUnits: choice.computeUnits
        )
    }
}
