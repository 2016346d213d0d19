/// The inputs of `encode` for one photo, and where the photo lies in them.
public struct PreparedImage: Sendable {
    /// f32 (1, 3, S, S) RGB as the manifest's value range says, the pad value outside the photo.
    /// The graph normalises.
    public let image: FloatTensor
    public let geometry: Geometry
}

/// From a photo to the square that the network sees: resize so that the long side is S, pad right and bottom.
public struct Preprocessor: Sendable {
    private let imageSize: Int
    private let padValue: Float

    public init(manifest: Manifest) {
        self.init(imageSize: manifest.preprocess.resize.longSide, padValue: manifest.preprocess.pad.value)
    }

    init(imageSize: Int, padValue: Float) {
        self.imageSize = imageSize
        self.padValue = padValue
    }

    /// 8-bit RGB (H, W, 3) → the inputs of `encode`.
    public func callAsFunction(_ image: RGBImage) -> PreparedImage {
        let geometry = Geometry(originalSize: image.size, imageSize: imageSize)
        let resized = BilinearResize(from: image.size, to: geometry.validSize)(image.pixels)
        return PreparedImage(image: padded(resized, geometry.validSize), geometry: geometry)
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
        return PreparedImage(image: padded(resized.pixels, resized.size), geometry: geometry)
    }

    /// u8 (h, w, 3) → f32 (1, 3, S, S).
    private func padded(_ pixels: [UInt8], _ size: PixelSize) -> FloatTensor {
        let channels = RGBImage.channels
        return FloatTensor(shape: [1, channels, imageSize, imageSize]) { planes in
            planes.update(repeating: padValue)
            pixels.withUnsafeBufferPointer { pixels in
                for y in 0..<size.height {
                    for channel in 0..<channels {
                        let row = (channel * imageSize + y) * imageSize
                        let source = y * size.width * channels + channel
                        for x in 0..<size.width {
                            planes[row + x] = Float(pixels[source + x * channels])
                        }
                    }
                }
            }
        }
    }
}
