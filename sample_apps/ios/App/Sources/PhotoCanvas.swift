import SwiftUI
import TinySAMKit

/// The photo or what was found on it, with the prompt drawn over it; touches arrive in pixels of the photo.
struct PhotoCanvas: View {
    let picture: CGImage
    /// A mask that lies over the picture.
    let layer: CGImage?
    let points: [PromptPoint]
    let box: Box?
    let tool: Tool
    let onTap: (Point) -> Void
    let onDrag: (Point, Point) -> Void

    @State private var dragged: CGRect?

    private static let markSize: CGFloat = 14

    var body: some View {
        GeometryReader { geometry in
            let fit = Fit(picture: CGSize(width: picture.width, height: picture.height), view: geometry.size)
            ZStack(alignment: .topLeading) {
                shown(Image(decorative: picture, scale: 1), fit)
                if let layer {
                    shown(Image(decorative: layer, scale: 1).renderingMode(.template), fit)
                        .foregroundStyle(Self.maskColour)
                }
                if let rectangle = dragged ?? box.map(fit.rectangle) { outline(rectangle) }
                ForEach(points.indices, id: \.self) { mark(points[$0], at: fit.place(points[$0].location)) }
            }
            // Offsets move what is seen and not where touches arrive, so the whole view takes them.
            .frame(width: geometry.size.width, height: geometry.size.height, alignment: .topLeading)
            .contentShape(Rectangle())
            .gesture(tool == .box ? drag(fit) : nil)
            .onTapGesture { if tool != .box, let point = fit.point($0) { onTap(point) } }
        }
        .accessibilityElement()
        .accessibilityLabel(Text("Photo to segment"))
        .accessibilityActions {
            ForEach(Place.allCases) { place in
                Button(place.name) { onTap(place.point(of: picture)) }
            }
        }
    }

    private func shown(_ image: Image, _ fit: Fit) -> some View {
        image.resizable()
            .frame(width: fit.frame.width, height: fit.frame.height)
            .offset(x: fit.frame.minX, y: fit.frame.minY)
    }

    private static let maskColour = Color(red: 0.12, green: 0.56, blue: 1, opacity: 0.55)

    private func outline(_ rectangle: CGRect) -> some View {
        Rectangle()
            .stroke(.yellow, lineWidth: 2)
            .frame(width: rectangle.width, height: rectangle.height)
            .offset(x: rectangle.minX, y: rectangle.minY)
    }

    private func mark(_ point: PromptPoint, at place: CGPoint) -> some View {
        Circle()
            .fill(point.isForeground ? .green : .red)
            .stroke(.white, lineWidth: 2)
            .frame(width: Self.markSize, height: Self.markSize)
            .offset(x: place.x - Self.markSize / 2, y: place.y - Self.markSize / 2)
    }

    private func drag(_ fit: Fit) -> some Gesture {
        DragGesture(minimumDistance: 8)
            .onChanged { dragged = CGRect(from: $0.startLocation, to: $0.location) }
            .onEnded { value in
                dragged = nil
                onDrag(fit.nearestPoint(value.startLocation), fit.nearestPoint(value.location))
            }
    }
}

/// Places that can be chosen without a touch.
enum Place: CaseIterable, Identifiable {
    case middle
    case left
    case right
    case top
    case bottom

    var id: Self { self }

    var name: String {
        switch self {
        case .middle: String(localized: "Choose what is in the middle")
        case .left: String(localized: "Choose what is on the left")
        case .right: String(localized: "Choose what is on the right")
        case .top: String(localized: "Choose what is at the top")
        case .bottom: String(localized: "Choose what is at the bottom")
        }
    }

    func point(of picture: CGImage) -> Point {
        let (x, y) =
            switch self {
            case .middle: (0.5, 0.5)
            case .left: (0.25, 0.5)
            case .right: (0.75, 0.5)
            case .top: (0.5, 0.25)
            case .bottom: (0.5, 0.75)
            }
        return Point(x: Double(picture.width) * x, y: Double(picture.height) * y)
    }
}

/// A picture as large as it fits into a view, in the middle.
struct Fit {
    let picture: CGSize
    let frame: CGRect

    init(picture: CGSize, view: CGSize) {
        let scale = min(view.width / picture.width, view.height / picture.height)
        let size = CGSize(width: picture.width * scale, height: picture.height * scale)
        self.picture = picture
        frame = CGRect(
            x: (view.width - size.width) / 2, y: (view.height - size.height) / 2, width: size.width,
            height: size.height
        )
    }

    /// The pixel under a touch; nil beside the picture.
    func point(_ location: CGPoint) -> Point? {
        frame.contains(location) ? nearestPoint(location) : nil
    }

    func nearestPoint(_ location: CGPoint) -> Point {
        let x = (location.x - frame.minX) / frame.width * picture.width
        let y = (location.y - frame.minY) / frame.height * picture.height
        return Point(x: min(max(x, 0), picture.width), y: min(max(y, 0), picture.height))
    }

    func place(_ point: Point) -> CGPoint {
        CGPoint(
            x: frame.minX + point.x / picture.width * frame.width,
            y: frame.minY + point.y / picture.height * frame.height
        )
    }

    func rectangle(_ box: Box) -> CGRect {
        CGRect(from: place(Point(x: box.x0, y: box.y0)), to: place(Point(x: box.x1, y: box.y1)))
    }
}

extension CGRect {
    fileprivate init(from first: CGPoint, to second: CGPoint) {
        self.init(
            x: min(first.x, second.x), y: min(first.y, second.y), width: abs(first.x - second.x),
            height: abs(first.y - second.y)
        )
    }
}
