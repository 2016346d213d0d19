import Foundation
import TinySAMFixtures
import XCTest

@testable import TinySAMKit

/// Manifests of strangers: read, or refused with the library's own error, and nothing else.
final class HostileManifestTests: XCTestCase {
    /// At byte `at`, `drop` bytes are replaced by `put`, as often as `repeat` says.
    private struct Edit: Decodable {
        let name: String
        let at: Int
        let drop: Int
        let put: String
        let `repeat`: Int
        let refused: Bool

        /// The manifest's text is ASCII, so its bytes are its characters.
        func applied(to text: Data) -> Data {
            var changed = text
            let put = Data(String(repeating: put, count: `repeat`).utf8)
            changed.replaceSubrange(at..<at + drop, with: put)
            return changed
        }
    }

    func testManifestsOfStrangersAreReadOrRefused() throws {
        let text = try Data(contentsOf: fixtures.folder.appendingPathComponent("manifest.json"))
        for edit: Edit in try cases("hostile") {
            do {
                _ = try Manifest(data: edit.applied(to: text))
                XCTAssertFalse(edit.refused, "\(edit.name): was read")
            } catch {
                let isOurs = isError(error) { if case .manifest = $0 { true } else { false } }
                XCTAssertTrue(isOurs, "\(edit.name): \(error)")
            }
        }
    }
}
