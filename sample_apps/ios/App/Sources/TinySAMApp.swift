import SwiftUI

@main
struct TinySAMApp: App {
    @State private var model = SegmentationModel()

    var body: some Scene {
        WindowGroup {
            ContentView(model: model)
                .task { await model.loadModel() }
        }
    }
}
