import Foundation
import TinySAMKit

/// Writes the dump of a device whose engine answers exactly as the float model did: what `compare-dump` then
/// finds wrong is wrong in this library.
struct ReplayFixtures {
    private let manifest: Manifest
    private let fixtures: FixtureSet
    private let artifacts: [Artifact]

    /// `names` are a runtime and a recipe of the manifest, by default those of its first artifact.
    init(fixtures: URL, manifest url: URL, names: [String]) throws {
        manifest = try Manifest(contentsOf: url)
        self.fixtures = try FixtureSet(folder: fixtures, manifest: manifest)
        let first = manifest.artifacts.first
        artifacts = try manifest.artifacts(
            runtime: names.first ?? first?.runtime ?? "", recipe: names.last ?? first?.recipe ?? ""
        )
    }

    func run(into url: URL) async throws -> String {
        let engine = try fixtures.recordedEngine(manifest: manifest)
        let replay = Replay(
            fixtures: fixtures, predictor: Predictor(manifest: manifest, engine: engine)
        )
        let latencies = try await replay.run(into: url) { description }
        return "\(url.path): \(latencies.postprocess.count) prompts of \(fixtures.photos.count) photos"
    }

    private var description: DumpDescription {
        DumpDescription(
            device: .init(
                model: "tinysam-tool", os: ProcessInfo.processInfo.operatingSystemVersionString,
                appVersion: "recorded engine"
            ),
            run: .init(
                runtime: artifacts.first?.runtime ?? "", recipe: artifacts.first?.recipe ?? "",
                computeUnit: "recorded", thermalBefore: "unknown", thermalAfter: "unknown",
                artifactSha256: Dictionary(
                    artifacts.map { ($0.component.rawValue, $0.sha256) },
                    uniquingKeysWith: { first, _ in first }
                )
            )
        )
    }
}
