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
        let kept = folderOfCompiled.appendingPathComponent("\(artifact.sha256).mlmodelc")
        if exists(kept) { return kept }
        let compiled = try await MLModel.compileModel(at: package)
        try FileManager.default.createDirectory(
            at: kept.deletingLastPathComponent(), withIntermediateDirectories: true
        )
        try FileManager.default.moveItem(at: compiled, to: kept)
        return kept
    }

    /// Deletes what was compiled from packages that the app had before an update.
    func removeAll(but artifacts: [Artifact]) {
        let names = Set(artifacts.map { "\($0.sha256).mlmodelc" })
        let files = FileManager.default
        // What cannot be deleted now is deleted at a later start.
        let kept = try? files.contentsOfDirectory(at: folderOfCompiled, includingPropertiesForKeys: nil)
        for url in kept ?? [] where !names.contains(url.lastPathComponent) { try? files.removeItem(at: url) }
    }

    private var folderOfCompiled: URL { cache.appendingPathComponent("TinySAM") }

    private func exists(_ url: URL) -> Bool { FileManager.default.fileExists(atPath: url.path) }
}
#endif
