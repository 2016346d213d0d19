import SwiftUI
import TinySAMCoreML
import TinySAMKit
import UIKit

/// The system's camera; gives one photo, upright.
struct CameraPicker: UIViewControllerRepresentable {
    let onPhoto: (UIImage) -> Void
    @Environment(\.dismiss) private var dismiss

    static var isAvailable: Bool { UIImagePickerController.isSourceTypeAvailable(.camera) }

    func makeUIViewController(context: Context) -> UIImagePickerController {
        let picker = UIImagePickerController()
        picker.sourceType = .camera
        picker.delegate = context.coordinator
        return picker
    }

    func updateUIViewController(_ picker: UIImagePickerController, context: Context) {}

    func makeCoordinator() -> Coordinator { Coordinator(onPhoto: onPhoto, dismiss: dismiss) }

    @MainActor
    final class Coordinator: NSObject, UIImagePickerControllerDelegate, UINavigationControllerDelegate {
        private let onPhoto: (UIImage) -> Void
        private let dismiss: DismissAction

        init(onPhoto: @escaping (UIImage) -> Void, dismiss: DismissAction) {
            self.onPhoto = onPhoto
            self.dismiss = dismiss
        }

        func imagePickerController(
            _ picker: UIImagePickerController,
            didFinishPickingMediaWithInfo info: [UIImagePickerController.InfoKey: Any]
        ) {
            if let photo = info[.originalImage] as? UIImage { onPhoto(photo) }
            dismiss()
        }

        func imagePickerControllerDidCancel(_ picker: UIImagePickerController) { dismiss() }
    }
}

extension RGBImage {
    /// Throws `TinySAMError.image` for a picture without pixels.
    init(_ photo: UIImage) throws {
        guard let image = photo.cgImage else {
            throw TinySAMError.image(reason: "the camera gave no pixels; take the photo again")
        }
        self = try RGBImage(image).upright(from: EXIFOrientation(photo.imageOrientation))
    }
}

extension EXIFOrientation {
    init(_ orientation: UIImage.Orientation) {
        self =
            switch orientation {
            case .up: .topLeft
            case .upMirrored: .topRight
            case .down: .bottomRight
            case .downMirrored: .bottomLeft
            case .leftMirrored: .leftTop
            case .right: .rightTop
            case .rightMirrored: .rightBottom
            case .left: .leftBottom
            @unknown default: .topLeft
            }
    }
}
