// What the app's view model takes from files that need UIKit or ImageIO. Nothing here runs.
import CoreGraphics
import Foundation
import TinySAMKit

extension RGBImage {
    var cgImage: CGImage? { nil }
}

struct DeviceDump: Sendable {
    let model: BundledModel

    func write(progress: @escaping @Sendable (Int) -> Void) async throws -> URL {
        URL(fileURLWithPath: "/")
    }
}
