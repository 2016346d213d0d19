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

/// Where a photo lies in the *S frame*, the S x S square that the network sees, at whose top left it was put
/// after its long side was resized to S.
public struct Geometry: Hashable, Sendable {
    /// Of the photo.
    public let originalSize: PixelSize
    /// Of the resized photo inside the square.
    public let validSize: PixelSize
    /// S.
    public let imageSize: Int

    /// The official rule: side = ⌊side · S / longest + ½⌋, and never 0 for a very long photo.
    public init(originalSize: PixelSize, imageSize: Int) {
        let scale = Double(imageSize) / Double(max(originalSize.height, originalSize.width))
        func resized(_ side: Int) -> Int { max(Int(Double(side) * scale + pixelCentre), 1) }
        self.originalSize = originalSize
        self.validSize = PixelSize(
            height: resized(originalSize.height), width: resized(originalSize.width)
        )
        self.imageSize = imageSize
    }

    /// Original pixels → the S frame. Each axis has its own scale, that of the rounded size.
    public func toModel(_ point: Point) -> Point {
        Point(x: point.x * scaleX, y: point.y * scaleY)
    }

    /// The S frame → original pixels.
    public func toOriginal(_ point: Point) -> Point {
        Point(x: point.x / scaleX, y: point.y / scaleY)
    }

    private var scaleX: Double { Double(validSize.width) / Double(originalSize.width) }
    private var scaleY: Double { Double(validSize.height) / Double(originalSize.height) }
}
