import PhotosUI
import SwiftUI
import TinySAMCoreML
import TinySAMKit

/// A whole app: choose a photo, tap on something, see its mask.
///
/// It needs the package of this repository with the product `TinySAMCoreML`, and a folder reference `Model/bundle` that
/// `tinysam-mobile bundle-for-app ios bundle -o MyApp/Model/bundle` has filled.
@main
struct OneScreenApp: App {
    @State private var segmenter = Segmenter()

    var body: some Scene {
        WindowGroup { OneScreen(segmenter: segmenter) }
    }
}

/// The model, one photo and one mask.
@MainActor
@Observable
final class Segmenter {
    private(set) var photo: CGImage?
    private(set) var mask: CGImage?
    private(set) var message = "Choose a photo"
    private var sam: TinySAM?

    /// `file` is a JPEG's or HEIC's bytes.
    func open(_ file: Data) async {
        message = "Looking at the photo"
        await attempt {
            let image = try RGBImage(photo: file)
            try await model().setPhoto(image)
            (photo, mask) = (image.cgImage, nil)
            message = "Tap on something"
        }
    }

    /// `point` is in pixels of the photo.
    func tap(_ point: Point) async {
        await attempt {
            let prediction = try await model().predict(Prompt(points: [PromptPoint(x: point.x, y: point.y)]))
            mask = prediction.mask(prediction.best, inside: Mask.opaque).layer
            let score = prediction.lowResolution.scores[prediction.best]
            message = "Predicted IoU \(score.formatted(.percent.precision(.fractionLength(0))))"
        }
    }

    /// Opened at the first photo; compiled by Core ML at the first launch only.
    private func model() async throws -> TinySAM {
        if let sam { return sam }
        guard let folder = Bundle.main.url(forResource: "bundle", withExtension: nil, subdirectory: "Model")
        else { throw TinySAMError.file(path: "Model/bundle", reason: "the app has no such folder reference") }
        let opened = try await TinySAM(bundle: folder)
        sam = opened
        return opened
    }

    private func attempt(_ body: () async throws -> Void) async {
        do { try await body() } catch { message = error.localizedDescription }
    }
}

struct OneScreen: View {
    let segmenter: Segmenter
    @State private var picked: PhotosPickerItem?

    var body: some View {
        VStack(spacing: 12) {
            GeometryReader { geometry in
                if let photo = segmenter.photo { canvas(photo, in: geometry.size) }
            }
            Text(segmenter.message)
            PhotosPicker(selection: $picked, matching: .images) { Label("Photo", systemImage: "photo") }
        }
        .padding()
        .onChange(of: picked) { _, item in
            Task {
                if let file = try await item?.loadTransferable(type: Data.self) { await segmenter.open(file) }
            }
        }
    }

    private func canvas(_ photo: CGImage, in view: CGSize) -> some View {
        let scale = min(view.width / CGFloat(photo.width), view.height / CGFloat(photo.height))
        let size = CGSize(width: CGFloat(photo.width) * scale, height: CGFloat(photo.height) * scale)
        return ZStack(alignment: .topLeading) {
            Image(decorative: photo, scale: 1).resizable().frame(width: size.width, height: size.height)
            if let mask = segmenter.mask {
                Image(decorative: mask, scale: 1)
                    .renderingMode(.template)
                    .resizable()
                    .frame(width: size.width, height: size.height)
                    .foregroundStyle(Color(red: 0.12, green: 0.56, blue: 1, opacity: 0.55))
            }
        }
        .contentShape(Rectangle())
        .onTapGesture { location in
            let point = Point(x: location.x / scale, y: location.y / scale)
            Task { await segmenter.tap(point) }
        }
    }
}
