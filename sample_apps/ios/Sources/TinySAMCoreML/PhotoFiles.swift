#if canImport(CoreGraphics) && canImport(ImageIO)
import CoreGraphics
import Foundation
import ImageIO
import TinySAMKit

extension RGBImage {
    /// The longest side of photos in the app: larger ones are made smaller while they are decoded, since a photo of 48
    /// megapixels, its pixels, mask and picture at once are more than a phone gives.
    public static let longestSide = 4096

    /// A photo file (JPEG, HEIC, PNG, …), upright, in sRGB, transparency laid over white, no longer than `longestSide`.
    ///
    /// Throws `TinySAMError.image` if ImageIO cannot read it.
    public init(photo data: Data, longestSide: Int = RGBImage.longestSide) throws {
        let options: [CFString: Any] = [
            kCGImageSourceCreateThumbnailFromImageAlways: true,
            // Turned as the camera was held.
            kCGImageSourceCreateThumbnailWithTransform: true,
            kCGImageSourceThumbnailMaxPixelSize: longestSide,
            kCGImageSourceShouldCache: false,
        ]
        guard let source = CGImageSourceCreateWithData(data as CFData, nil),
            let image = CGImageSourceCreateThumbnailAtIndex(source, 0, options as CFDictionary)
        else {
            throw TinySAMError.image(reason: "this file is no picture that iOS can read")
        }
        self = try RGBImage(image)
    }

    /// Throws `TinySAMError.image` if there is not enough memory to draw it.
    public init(_ image: CGImage) throws {
        let size = PixelSize(height: image.height, width: image.width)
        let bytesPerPixel = 4
        var rgbx = [UInt8](repeating: .max, count: size.area * bytesPerPixel)
        let isDrawn = rgbx.withUnsafeMutableBytes { bytes in
            guard
                let context = CGContext(
                    data: bytes.baseAddress, width: size.width, height: size.height,
                    bitsPerComponent: UInt8.bitWidth, bytesPerRow: size.width * bytesPerPixel,
                    space: CGColorSpace(name: CGColorSpace.sRGB) ?? CGColorSpaceCreateDeviceRGB(),
                    bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue
                )
            else { return false }
            context.draw(image, in: CGRect(x: 0, y: 0, width: size.width, height: size.height))
            return true
        }
        guard isDrawn else { throw TinySAMError.image(reason: "it is too large to draw; take a smaller one") }
        let samples = size.area * Self.channels
        let pixels = [UInt8](unsafeUninitializedCapacity: samples) { pixels, count in
            for pixel in 0..<size.area {
                for channel in 0..<Self.channels {
                    pixels[pixel * Self.channels + channel] = rgbx[pixel * bytesPerPixel + channel]
                }
            }
            count = samples
        }
        try self.init(size: size, pixels: pixels)
    }

    /// The picture for UIKit and SwiftUI; nil if there is not enough memory.
    public var cgImage: CGImage? {
        guard let provider = CGDataProvider(data: Data(pixels) as CFData),
            let space = CGColorSpace(name: CGColorSpace.sRGB)
        else { return nil }
        return CGImage(
            width: size.width, height: size.height, bitsPerComponent: UInt8.bitWidth,
            bitsPerPixel: UInt8.bitWidth * Self.channels, bytesPerRow: size.width * Self.channels,
            space: space,
            bitmapInfo: CGBitmapInfo(rawValue: CGImageAlphaInfo.none.rawValue), provider: provider,
            decode: nil,
            shouldInterpolate: true, intent: .defaultIntent
        )
    }
}

extension Mask {
    /// The mask as a layer over the photo, opaque inside and clear outside, for an image in template mode:
    /// `UIImage(cgImage: mask.layer!).withRenderingMode(.alwaysTemplate)`. It is nil if there is not enough memory.
    public var layer: CGImage? {
        let context = CGContext(
            data: nil, width: size.width, height: size.height, bitsPerComponent: UInt8.bitWidth,
            bytesPerRow: 0,
            space: CGColorSpaceCreateDeviceGray(), bitmapInfo: CGImageAlphaInfo.alphaOnly.rawValue
        )
        guard let context, let data = context.data else { return nil }
        pixels.withUnsafeBytes { pixels in
            for y in 0..<size.height {
                let target = UnsafeMutableRawBufferPointer(
                    start: data.advanced(by: y * context.bytesPerRow), count: size.width
                )
                for (x, value) in pixels[y * size.width..<(y + 1) * size.width].enumerated() {
                    target[x] = value == 0 ? 0 : Self.opaque
                }
            }
        }
        return context.makeImage()
    }
}
#endif
