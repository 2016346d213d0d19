import CoreGraphics
import Foundation
import TinySAMKit

/// What the app shows; there is nothing between these.
enum SegmentationState: Sendable {
    case loadingModel
    case unavailable(reason: String)
    case waitingForPhoto
    case encoding(Photo)
    case prompting(Photo, EncodedImage, Answer)
}

/// A photo and its picture for the screen.
struct Photo: Sendable {
    let image: RGBImage
    let picture: CGImage
}

/// What was found on the photo.
enum Answer: Sendable {
    case nothing
    /// `layer` lies over the photo, to be drawn in any colour.
    case mask(Prediction, layer: CGImage)
    /// Nil before the first decoder call.
    case searching(EverythingProgress?)
    case objects(count: Int, stoppedEarly: Bool, picture: CGImage)

    var isSearching: Bool { if case .searching = self { true } else { false } }
}

/// What a touch on the photo does.
enum Tool: CaseIterable, Identifiable {
    case add
    case remove
    case box

    var id: Self { self }

    var name: String {
        switch self {
        case .add: String(localized: "Add")
        case .remove: String(localized: "Remove")
        case .box: String(localized: "Box")
        }
    }
}

/// How long a step took.
struct StepTime: Identifiable, Sendable {
    let step: String
    let milliseconds: Double

    var id: String { step }
}
