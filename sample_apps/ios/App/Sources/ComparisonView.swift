import SwiftUI
import TinySAMKit

/// What each engine took on the photo, as it comes.
struct ComparisonView: View {
    let model: SegmentationModel

    var body: some View {
        NavigationStack {
            List(model.comparison ?? []) { row in
                VStack(alignment: .leading, spacing: 4) {
                    Text(row.engine.name).font(.headline)
                    details(row)
                    if case let .success(times) = row.result, let difference = times.difference {
                        picture(difference)
                    }
                }
            }
            .navigationTitle("Compare engines")
            .toolbar {
                ToolbarItem(placement: .topBarTrailing) {
                    Button("Done") { model.endComparison() }
                }
            }
        }
    }

    @ViewBuilder private func details(_ row: ComparisonRow) -> some View {
        switch row.result {
        case let .success(times):
            Text("Load \(ms(times.load)) ms, encode \(ms(times.encode)) ms, decode \(ms(times.decode)) ms")
            Text("Everything \(ms(times.everything)) ms, \(times.objects) objects")
            Text(
                "The middle's mask agrees to \(times.agreement.formatted(.percent.precision(.fractionLength(2))))"
            )
        case let .failure(error):
            Text(error.localizedDescription).foregroundStyle(.red)
        }
    }

    private func picture(_ difference: CGImage) -> some View {
        Image(decorative: difference, scale: 1)
            .resizable()
            .frame(
                width: Self.pictureWidth,
                height: Self.pictureWidth * CGFloat(difference.height) / CGFloat(difference.width)
            )
            .accessibilityLabel(Text("Red: only the CPU's mask. Blue: only this one's."))
    }

    private static let pictureWidth: CGFloat = 240

    private func ms(_ milliseconds: Double) -> String {
        milliseconds.formatted(.number.precision(.fractionLength(1)))
    }
}
