import Foundation
import TinySAMFixtures
import TinySAMKit

/// `tinysam-tool`: what can be said and shown of the core without a phone.
@main
struct Main {
    private static let usage = """
        usage: tinysam-tool bench MANIFEST
                   milliseconds of preprocessing, postprocessing and everything mode on a 12-megapixel photo
               tinysam-tool memory MANIFEST
                   megabytes that a tap on 12 megapixels and every step on 48 take
               tinysam-tool overlay FOLDER OUT.ppm
                   replays the case of FOLDER/everything.json, or of FOLDER/from_boxes.json, and draws its objects over
                   its photo
               tinysam-tool replay FIXTURES MANIFEST DUMP.zip [RUNTIME RECIPE]
                   replays a fixtures folder on a recorded engine and writes a dump for compare-dump
        """

    static func main() async {
        do {
            try await run(Array(CommandLine.arguments.dropFirst()))
        } catch {
            FileHandle.standardError.write(Data("error: \(error.localizedDescription)\n".utf8))
            exit(1)
        }
    }

    private static func run(_ arguments: [String]) async throws {
        let paths = arguments.dropFirst().map { URL(fileURLWithPath: $0) }
        switch (arguments.first, paths.count) {
        case ("bench", 1):
            let manifest = try Manifest(contentsOf: paths[0])
            write(try await Bench(manifest: manifest).run())
        case ("memory", 1):
            let manifest = try Manifest(contentsOf: paths[0])
            write(try await MemoryMeasurement(manifest: manifest).run())
        case ("overlay", 2):
            write(try await drawObjects(SharedFixtures(folder: paths[0]), into: paths[1]))
        case ("replay", 3), ("replay", 5):
            let names = Array(arguments.dropFirst(4))
            let replay = try ReplayFixtures(fixtures: paths[0], manifest: paths[1], names: names)
            write(try await replay.run(into: paths[2]))
        default:
            FileHandle.standardError.write(Data("\(usage)\n".utf8))
            exit(2)
        }
    }

    private static func drawObjects(_ fixtures: SharedFixtures, into url: URL) async throws -> String {
        let (objects, photo) = try await replayed(fixtures)
        let picture = try Overlay.draw(LabelMap(objects, size: photo.size), over: photo)
        try picture.ppm.write(to: url, options: .atomic)
        return "\(url.path): \(objects.count) objects"
    }

    private static func replayed(_ fixtures: SharedFixtures) async throws -> ([SegmentedObject], RGBImage) {
        let boxes = fixtures.folder.appendingPathComponent("from_boxes.json")
        if FileManager.default.fileExists(atPath: boxes.path),
            let found = try fixtures.cases("from_boxes", of: FromBoxesCase.self).first
        {
            return try await (found.found(fixtures), found.photo(fixtures))
        }
        guard let found = try fixtures.cases("everything", of: EverythingCase.self).first else {
            throw TinySAMError.fixtures(reason: "everything.json has no case")
        }
        return try await (found.generate(fixtures).objects, found.photo(fixtures))
    }

    private static func write(_ text: String) {
        FileHandle.standardOutput.write(Data("\(text)\n".utf8))
    }
}
