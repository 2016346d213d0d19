import Foundation
import TinySAMKit

/// What the core takes of memory for large photos, as Linux counts it.
struct MemoryMeasurement {
    private static let large = PixelSize(height: 6048, width: 8064)
    private static let usual = PixelSize(height: 3024, width: 4032)

    let manifest: Manifest

    /// The new memory of a tap on 12 megapixels, then the peak of the process with all steps on 48.
    func run() async throws -> String {
        let benchmark = Bench(manifest: manifest)
        let tap = try await megabytesOfTap(benchmark)
        try await everyStep(Self.large, benchmark)
        let peak = try Self.kilobytes("VmHWM")
        return """
            new memory of a tap on \(Self.usual.width) x \(Self.usual.height): \(Self.text(tap)) MB
            peak with a photo of \(Self.large.width) x \(Self.large.height): \(Self.text(peak)) MB
            """
    }

    /// The mask as the app asks for it: a layer's bytes.
    private func megabytesOfTap(_ benchmark: Bench) async throws -> Double {
        let sam = TinySAM(manifest: manifest, engine: benchmark.engine(for: Self.usual))
        try await sam.setPhoto(Bench.photo(Self.usual))
        let prompt = try Prompt(points: [PromptPoint(x: 2000, y: 1500)])
        // Once for what is made at the first call only.
        _ = try await sam.predict(prompt).mask(0, inside: Mask.opaque).area
        try Data("5".utf8).write(to: URL(fileURLWithPath: "/proc/self/clear_refs"))
        let before = try Self.kilobytes("VmRSS")
        let area = try await sam.predict(prompt).mask(0, inside: Mask.opaque).area
        precondition(area > 0, "the disc is in the photo")
        return try max(Self.kilobytes("VmHWM") - before, 0)
    }

    private func everyStep(_ size: PixelSize, _ benchmark: Bench) async throws {
        let sam = TinySAM(manifest: manifest, engine: benchmark.engine(for: size))
        try await sam.setPhoto(Bench.photo(size))
        _ = try await sam.mask(at: Point(x: 4000, y: 3000)).area
        var options = EverythingOptions()
        options.maxDecoderCalls = 2
        for try await _ in try await sam.everything(options) {}
    }

    /// A line of this process's status, in MB.
    private static func kilobytes(_ name: String) throws -> Double {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = status.split(separator: "\n").first { $0.hasPrefix("\(name):") } ?? ""
        return (Double(line.filter(\.isNumber)) ?? .infinity) * 1024 / 1e6
    }

    private static func text(_ megabytes: Double) -> String { String(format: "%.1f", megabytes) }
}
