import CoreGraphics
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
    case mask(Prediction, picture: CGImage)
    case searching(EverythingProgress)
    case objects(count: Int, stoppedEarly: Bool, picture: CGImage)
}

/// What a touch on the photo does.
enum Tool: String, CaseIterable, Identifiable {
    case add = "Add"
    case remove = "Remove"
    case box = "Box"

    var id: Self { self }
}

/// How long a step took.
struct StepTime: Identifiable, Sendable {
    let step: String
    let milliseconds: Double

    var id: String { step }
}
