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
            .sheet(isPresented: showsComparison) { ComparisonView(model: model) }
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
        case let .prompting(photo, _, .mask(_, layer)):
            canvas(photo.picture, layer)
        case let .prompting(_, _, .objects(_, _, picture)):
            canvas(picture)
        }
    }

    private func canvas(_ picture: CGImage, _ layer: CGImage? = nil) -> some View {
        PhotoCanvas(
            picture: picture, layer: layer, points: model.points, box: model.box, tool: tool
        ) { point in
            model.tap(point, isForeground: tool != .remove)
        } onDrag: { first, second in
            model.drag(from: first, to: second)
        }
    }

    private func search(_ progress: EverythingProgress?) -> some View {
        VStack {
            if let progress {
                let total = progress.decodedPoints + progress.waitingPoints
                ProgressView(value: Double(progress.decodedPoints), total: Double(max(total, 1)))
                Text("\(progress.decodedPoints) of \(total) points, \(progress.candidates) masks")
            } else {
                ProgressView("Searching")
            }
            Button("Stop and show what was found") { model.cancel() }
        }
        .padding()
        .background(.regularMaterial, in: RoundedRectangle(cornerRadius: 12))
    }

    @ViewBuilder private var controls: some View {
        if case let .prompting(_, _, answer) = model.state {
            Picker("A touch", selection: $tool) {
                ForEach(Tool.allCases) { Text($0.name).tag($0) }
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
                Button("Undo") { model.undo() }.disabled(!model.canUndo)
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
        ToolbarItemGroup(placement: .topBarLeading) {
            engines
            if let photos = model.replayedPhotos {
                ProgressView { Text("\(photos) photos") }
            } else if let dump = model.dump {
                ShareLink("Share the dump", item: dump)
            } else if model.canReplay {
                Button("Replay fixtures", systemImage: "checkmark.seal") { model.replayFixtures() }
            }
        }
    }

    private var engines: some View {
        Menu("Engine", systemImage: "cpu") {
            Picker("Engine", selection: chosenEngine) {
                ForEach(EngineChoice.allCases) { Text($0.name).tag($0) }
            }
            Button("Compare engines", systemImage: "speedometer") { model.compareEngines() }
        }
    }

    private var chosenEngine: Binding<EngineChoice> {
        Binding {
            model.engine
        } set: {
            model.choose($0)
        }
    }

    private var showsComparison: Binding<Bool> {
        Binding {
            model.comparison != nil
        } set: {
            if !$0 { model.endComparison() }
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
