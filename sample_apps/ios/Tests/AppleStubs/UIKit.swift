// The part of UIKit that the app calls, as Apple declares it for Swift. Nothing here runs.
@_exported import CoreGraphics
@_exported import Foundation

@MainActor public class UIViewController: NSObject {}
@MainActor public class UINavigationController: UIViewController {}

public final class UIImage: Sendable {
    public enum Orientation: Int, Sendable {
        case up, down, left, right, upMirrored, downMirrored, leftMirrored, rightMirrored
    }
    public var cgImage: CGImage? { nil }
    public var imageOrientation: Orientation { .up }
}

@MainActor public protocol UINavigationControllerDelegate: AnyObject {}

@MainActor public protocol UIImagePickerControllerDelegate: AnyObject {
    func imagePickerController(
        _ picker: UIImagePickerController,
        didFinishPickingMediaWithInfo info: [UIImagePickerController.InfoKey: Any]
    )
    func imagePickerControllerDidCancel(_ picker: UIImagePickerController)
}

@MainActor public class UIImagePickerController: UINavigationController {
    public enum SourceType: Int, Sendable { case photoLibrary, camera }
    public struct InfoKey: Hashable, Sendable {
        public static let originalImage = InfoKey()
    }
    public static func isSourceTypeAvailable(_ sourceType: SourceType) -> Bool { false }
    public var sourceType = SourceType.photoLibrary
    public weak var delegate: (any UIImagePickerControllerDelegate & UINavigationControllerDelegate)?
}

@MainActor public final class UIDevice {
    public static let current = UIDevice()
    public var systemName: String { "" }
    public var systemVersion: String { "" }
}
