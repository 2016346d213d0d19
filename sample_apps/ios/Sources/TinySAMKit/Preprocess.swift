/// The inputs of `encode` for one photo, and where the photo lies in them.
public struct PreparedImage: Sendable {
    /// f32 (1, 3, S, S) RGB as the manifest's value range says, the pad value outside the photo.
    /// The graph normalises.
    public let image: FloatTensor
    public let geometry: Geometry
}

/// From a photo to the square that the network sees: resize as the manifest's rules say, pad right and bottom.
public struct Preprocessor: Sendable {
    private let imageSize: Int
    private let padValue: Float
    private let rules: Rules

    public init(manifest: Manifest) {
        self.init(
            imageSize: manifest.preprocess.resize.longSide, padValue: manifest.preprocess.pad.value,
            rules: manifest.rules)
    }

    init(imageSize: Int, padValue: Float, rules: Rules = .sam) {
        self.rules = rules
        self.imageSize = imageSize
        self.padValue = padValue
    }

    /// 8-bit RGB (H, W, 3) → the inputs of `encode`.
    public func callAsFunction(_ image: RGBImage) -> PreparedImage {
        let geometry = Geometry(originalSize: image.size, imageSize: imageSize, rules: rules)
        let size = geometry.validSize
        let square =
            switch PhotoResize(from: image.size, to: size, rules: rules)(image.pixels) {
            case let .whole(pixels): padded(pixels, size) { Float($0) }
            case let .floats(pixels): padded(pixels, size) { $0 }
            }
        return PreparedImage(image: square, geometry: geometry)
    }

    /// The same for a photo that another resize brought to `geometry.validSize`.
    ///
    /// Throws `TinySAMError.image` if it has another size. Masks are the host's only with this library's resize.
    public func prepared(_ resized: RGBImage, geometry: Geometry) throws -> PreparedImage {
        guard resized.size == geometry.validSize, geometry.imageSize == imageSize else {
            throw TinySAMError.image(
                reason: "a resized photo must be \(geometry.validSize.height) x \(geometry.validSize.width)"
            )
        }
        return PreparedImage(image: padded(resized.pixels, resized.size) { Float($0) }, geometry: geometry)
    }

    /// (h, w, 3) → f32 (1, 3, S, S).
    @inline(__always)
    private func padded<Sample>(
        _ pixels: [Sample], _ size: PixelSize, _ float: (Sample) -> Float
    ) -> FloatTensor {
        let channels = RGBImage.channels
        return FloatTensor(shape: [1, channels, imageSize, imageSize]) { planes in
            planes.update(repeating: padValue)
            pixels.withUnsafeBufferPointer { pixels in
                for y in 0..<size.height {
                    for channel in 0..<channels {
                        let row = (channel * imageSize + y) * imageSize
                        let source = y * size.width * channels + channel
                        for x in 0..<size.width {
                            planes[row + x] = float(pixels[source + x * channels])
                        }
                    }
                }
            }
        }
    }
}
