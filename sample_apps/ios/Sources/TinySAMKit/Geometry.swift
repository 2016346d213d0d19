/// A position in pixels; the caller's documentation says in which frame.
public struct Point: Hashable, Sendable {
    public let x: Double
    public let y: Double

    public init(x: Double, y: Double) {
        self.x = x
        self.y = y
    }
}

/// Where the middle of a pixel lies from its corner, in pixels: what bilinear resampling and rounding share.
let pixelCentre = 0.5

/// Where a photo lies in the input square of side S, at whose top left it was put after it was resized as `rules` say,
/// and in the *frame* of side F in which points and full masks live: the same square in most families.
public struct Geometry: Hashable, Sendable {
    /// Of the photo.
    public let originalSize: PixelSize
    /// Of the photo's part of the square.
    public let validSize: PixelSize
    /// S.
    public let imageSize: Int
    public let rules: Rules
    /// F.
    public let frameSize: Int
    /// Of the photo's part of the frame.
    public let frameValidSize: PixelSize

    public init(originalSize: PixelSize, imageSize: Int, rules: Rules = .sam) {
        self.originalSize = originalSize
        self.imageSize = imageSize
        self.rules = rules
        frameSize = imageSize * rules.frameScale
        validSize = Self.resized(originalSize, imageSize, rules)
        frameValidSize = Self.resized(originalSize, frameSize, rules)
    }

    /// Size of a photo in a square of `side`, and never 0 for a very long one.
    private static func resized(_ size: PixelSize, _ side: Int, _ rules: Rules) -> PixelSize {
        if rules.resize == .stretch { return PixelSize(height: side, width: side) }
        if rules.rounding == .down {
            // In the order of NanoSAM's operations, since a rounding error may cost a pixel.
            let aspect = Double(size.width) / Double(size.height)
            return aspect >= 1
                ? PixelSize(height: max(Int(Double(side) / aspect), 1), width: side)
                : PixelSize(height: side, width: max(Int(Double(side) * aspect), 1))
        }
        let scale = Double(side) / Double(max(size.height, size.width))
        func resized(_ length: Int) -> Int { max(Int(Double(length) * scale + pixelCentre), 1) }
        return PixelSize(height: resized(size.height), width: resized(size.width))
    }

    /// The photo's part of a low-resolution mask of side `side`, rounded down and never 0.
    func lowResolutionValid(_ side: Int) -> PixelSize {
        if rules.resize == .stretch { return PixelSize(height: side, width: side) }
        let longest = max(originalSize.height, originalSize.width)
        func part(_ length: Int) -> Int { max(side * length / longest, 1) }
        return PixelSize(height: part(originalSize.height), width: part(originalSize.width))
    }

    /// Original pixels → the frame.
    public func toModel(_ point: Point) -> Point {
        Point(x: point.x * scaleX, y: point.y * scaleY)
    }

    /// The frame → original pixels.
    public func toOriginal(_ point: Point) -> Point {
        Point(x: point.x / scaleX, y: point.y / scaleY)
    }

    // Each axis has its own scale, that of the rounded size, as in the official code.
    private var scaleX: Double { scale(frameValidSize.width, originalSize.width) }
    private var scaleY: Double { scale(frameValidSize.height, originalSize.height) }

    private func scale(_ valid: Int, _ original: Int) -> Double {
        rules.pointScale == .uniform
            ? Double(frameSize) / Double(max(originalSize.height, originalSize.width))
            : Double(valid) / Double(original)
    }
}
