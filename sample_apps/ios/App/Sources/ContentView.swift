import PhotosUI
import SwiftUI
import TinySAMCoreML
import TinySAMKit

struct ContentView: View {
    @Bindable var model: SegmentationModel
    @State private var picked: PhotosPickerItem?
    @State private var showsCamera = false
    @State private var tool = Tool.add

    var body: some View {
        NavigationStack {
            VStack(spacing: 12) {
                content.frame(maxWidth: .infinity, maxHeight: .infinity)
                controls
                timing
            }
            .padding()
            .navigationTitle("TinySAM")
            .toolbar { toolbar }
        }
        .onChange(of: picked) { _, item in if let item { open(item) } }
        .fullScreenCover(isPresented: $showsCamera) {
            CameraPicker { photo in model.open { try RGBImage(photo) } }.ignoresSafeArea()
        }
        .alert("That did not work", isPresented: hasMessage) {
        } message: {
            Text(model.message ?? "")
        }
    }

    @ViewBuilder private var content: some View {
        switch model.state {
        case .loadingModel:
            ProgressView("Loading the model")
        case let .unavailable(reason):
            ContentUnavailableView(
                "No model", systemImage: "exclamationmark.triangle", description: Text(reason))
        case .waitingForPhoto:
            ContentUnavailableView("Choose a photo", systemImage: "photo")
        case let .encoding(photo):
            canvas(photo.picture).overlay { ProgressView("Looking at the photo") }
        case let .prompting(photo, _, .searching(progress)):
            canvas(photo.picture).overlay(alignment: .bottom) { search(progress) }
        case let .prompting(photo, _, .nothing):
            canvas(photo.picture)
        case let .prompting(_, _, .mask(_, picture)):
            canvas(picture)
        case let .prompting(_, _, .objects(_, _, picture)):
            canvas(picture)
        }
    }

    private func canvas(_ picture: CGImage) -> some View {
        PhotoCanvas(picture: picture, points: model.points, box: model.box, tool: tool) { point in
            model.tap(point, isForeground: tool == .add)
        } onDrag: { first, second in
            model.drag(from: first, to: second)
        }
    }

    private func search(_ progress: EverythingProgress) -> some View {
        let total = progress.decodedPoints + progress.waitingPoints
        return VStack {
            ProgressView(value: Double(progress.decodedPoints), total: Double(max(total, 1)))
            Text("\(progress.decodedPoints) of \(total) points, \(progress.candidates) masks")
            Button("Cancel", role: .cancel) { model.cancel() }
        }
        .padding()
        .background(.regularMaterial, in: RoundedRectangle(cornerRadius: 12))
    }

    @ViewBuilder private var controls: some View {
        if case let .prompting(_, _, answer) = model.state {
            Picker("A touch", selection: $tool) {
                ForEach(Tool.allCases) { Text($0.rawValue).tag($0) }
            }
            .pickerStyle(.segmented)
            Toggle("Refine the mask that is shown", isOn: $model.refinesMask)
            HStack {
                Button("Everything") { model.findEverything() }
                Spacer()
                if case let .objects(count, stoppedEarly, _) = answer {
                    Text(stoppedEarly ? "\(count) objects so far" : "\(count) objects")
                }
                if case let .mask(prediction, _) = answer {
                    Text(
                        prediction.lowResolution.scores[prediction.best],
                        format: .percent.precision(.fractionLength(0)))
                }
                Spacer()
                Button("Clear") { model.clearPrompt() }
            }
            .buttonStyle(.bordered)
        }
    }

    private var timing: some View {
        Text(
            model.times.map {
                "\($0.step) \($0.milliseconds.formatted(.number.precision(.fractionLength(1)))) ms"
            }
            .joined(separator: " · ")
        )
        .font(.footnote.monospacedDigit())
        .foregroundStyle(.secondary)
    }

    @ToolbarContentBuilder private var toolbar: some ToolbarContent {
        ToolbarItemGroup(placement: .topBarTrailing) {
            if CameraPicker.isAvailable {
                Button("Camera", systemImage: "camera") { showsCamera = true }
            }
            PhotosPicker(selection: $picked, matching: .images) { Label("Photo", systemImage: "photo") }
        }
        ToolbarItem(placement: .topBarLeading) {
            if let photos = model.replayedPhotos {
                ProgressView { Text("\(photos)") }
            } else if let dump = model.dump {
                ShareLink("Share the dump", item: dump)
            } else {
                Button("Replay fixtures", systemImage: "checkmark.seal") { model.replayFixtures() }
            }
        }
    }

    private var hasMessage: Binding<Bool> {
        Binding {
            model.message != nil
        } set: { isShown in
            if !isShown { model.message = nil }
        }
    }

    private func open(_ item: PhotosPickerItem) {
        model.open {
            guard let data = try await item.loadTransferable(type: Data.self) else {
                throw TinySAMError.image(reason: "the photo library gave no file; choose another photo")
            }
            return try RGBImage(photo: data)
        }
    }
}
