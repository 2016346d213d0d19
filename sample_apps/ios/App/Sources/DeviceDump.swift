import Foundation
import TinySAMKit
import UIKit

/// Replays the fixtures in the app and writes what `tinysam-mobile compare-dump` reads.
struct DeviceDump: Sendable {
    let model: BundledModel

    /// Returns the file; `progress` gets the number of photos that are done. Throws `TinySAMError.fixtures`
    /// if the app carries none.
    func write(progress: @escaping @Sendable (Int) -> Void) async throws -> URL {
        let manifest = model.predictor.manifest
        let folder = model.folder.appendingPathComponent("fixtures")
        let fixtures = try FixtureSet(folder: folder, manifest: manifest)
        let url = URL.temporaryDirectory.appendingPathComponent("dump.zip")
        let device = await Self.device()
        let thermalBefore = ProcessInfo.processInfo.thermalState
        _ = try await Replay(fixtures: fixtures, predictor: model.predictor)
            .run(into: url, progress: progress) {
                DumpDescription(
                    device: device,
                    run: run(before: thermalBefore, after: ProcessInfo.processInfo.thermalState)
                )
            }
        return url
    }

    private func run(
        before: ProcessInfo.ThermalState, after: ProcessInfo.ThermalState
    ) -> DumpDescription.Run {
        let artifacts = model.predictor.manifest.artifacts
            .filter { $0.runtime == model.runtime && $0.recipe == model.recipe }
            .map { ($0.component.rawValue, $0.sha256) }
        return DumpDescription.Run(
            runtime: model.runtime, recipe: model.recipe, computeUnit: model.computeUnit,
            loadMs: model.loadMilliseconds, peakMemoryBytes: Self.peakMemoryBytes(),
            thermalBefore: before.name, thermalAfter: after.name, configuration: Self.configuration,
            artifactSha256: Dictionary(artifacts, uniquingKeysWith: { first, _ in first })
        )
    }

    /// Debug code is many times slower around the model, and `compare-dump` says so.
    private static var configuration: String {
        #if DEBUG
        "debug"
        #else
        "release"
        #endif
    }

    /// The most memory that this process has had, as the system counts it against the app's limit.
    private static func peakMemoryBytes() -> Int? {
        var usage = rusage()
        // Bytes on Apple's systems.
        return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_maxrss : nil
    }

    @MainActor
    private static func device() -> DumpDescription.Device {
        let version = Bundle.main.object(forInfoDictionaryKey: "CFBundleShortVersionString") as? String
        return DumpDescription.Device(
            model: machine(), os: "\(UIDevice.current.systemName) \(UIDevice.current.systemVersion)",
            appVersion: version ?? "unknown"
        )
    }

    /// Such as "iPhone16,1".
    private nonisolated static func machine() -> String {
        var length = 0
        guard sysctlbyname("hw.machine", nil, &length, nil, 0) == 0 else { return "unknown" }
        var name = [UInt8](repeating: 0, count: length)
        guard sysctlbyname("hw.machine", &name, &length, nil, 0) == 0 else { return "unknown" }
        return String(decoding: name.prefix { $0 != 0 }, as: UTF8.self)
    }
}

extension ProcessInfo.ThermalState {
    fileprivate var name: String {
        switch self {
        case .nominal: "nominal"
        case .fair: "fair"
        case .serious: "serious"
        case .critical: "critical"
        @unknown default: "unknown"
        }
    }
}
