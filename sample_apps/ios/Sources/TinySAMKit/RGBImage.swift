/// A size in pixels.
public struct PixelSize: Hashable, Sendable {
    public let height: Int
    public let width: Int

    public init(height: Int, width: Int) {
        self.height = height
        self.width = width
    }

    /// Number of pixels.
    public var area: Int { height * width }
}

/// A photo: 8-bit RGB, top row first.
public struct RGBImage: Equatable, Sendable {
    /// Samples per pixel: R, G, B.
    public static let channels = 3

    public let size: PixelSize
    /// u8 (H, W, 3).
    public let pixels: [UInt8]

    /// Throws `TinySAMError.image` for a size without pixels and for another number of samples.
    public init(size: PixelSize, pixels: [UInt8]) throws {
        guard size.height > 0, size.width > 0 else {
            throw TinySAMError.image(reason: "it has no pixels: its size is \(size.height) x \(size.width)")
        }
        let (area, overflows) = size.height.multipliedReportingOverflow(by: size.width)
        guard !overflows, pixels.count / Self.channels == area, pixels.count % Self.channels == 0 else {
            throw TinySAMError.image(
                reason: "\(pixels.count) samples are not \(size.height) x \(size.width) RGB pixels; "
                    + "give three bytes per pixel without padding between rows"
            )
        }
        self.size = size
        self.pixels = pixels
    }

    /// A grey photo u8 (H, W), repeated over the channels. Throws as the other initializer.
    public init(size: PixelSize, grey: [UInt8]) throws {
        let samples = grey.count * Self.channels
        let pixels = [UInt8](unsafeUninitializedCapacity: samples) { pixels, count in
            for place in 0..<samples { pixels[place] = grey[place / Self.channels] }
            count = samples
        }
        try self.init(size: size, pixels: pixels)
    }

    /// The part of the photo in `window`, which lies inside it.
    func cropped(to window: PixelWindow) -> RGBImage {
        var part: [UInt8] = []
        part.reserveCapacity(window.size.area * Self.channels)
        for y in window.rows {
            let start = (y * size.width + window.columns.lowerBound) * Self.channels
            part += pixels[start..<start + window.columns.count * Self.channels]
        }
        return RGBImage(unchecked: window.size, pixels: part)
    }

    /// For pixels that this library made, whose number is right.
    init(unchecked size: PixelSize, pixels: [UInt8]) {
        assert(pixels.count == size.area * Self.channels)
        self.size = size
        self.pixels = pixels
    }
}
