#if canImport(CoreML)
import CoreML
import Foundation
import TinySAMKit

/// Compiled packages, kept by the hash of what they were compiled from: later starts do not compile again.
struct CompiledModels {
    let cache: URL

    /// The .mlmodelc of an artifact in the bundle `folder`; one that the app ships is taken as it is.
    func url(of artifact: Artifact, in folder: URL) async throws -> URL {
        let package = folder.appendingPathComponent(artifact.path)
        let shipped = package.deletingPathExtension().appendingPathExtension("mlmodelc")
        if exists(shipped) { return shipped }
        guard exists(package) else {
            throw TinySAMError.file(
                path: package.path, reason: "is missing; run `tinysam-mobile bundle-for-app ios BUNDLE`"
            )
        }
        let kept = cache.appendingPathComponent("TinySAM/\(artifact.sha256).mlmodelc")
        if exists(kept) { return kept }
        let compiled = try await MLModel.compileModel(at: package)
        try FileManager.default.createDirectory(
            at: kept.deletingLastPathComponent(), withIntermediateDirectories: true
        )
        try FileManager.default.moveItem(at: compiled, to: kept)
        return kept
    }

    private func exists(_ url: URL) -> Bool { FileManager.default.fileExists(atPath: url.path) }
}
#endif
