#if canImport(CoreVideo) && canImport(Accelerate)
import Accelerate
import CoreVideo
import TinySAMKit

extension RGBImage {
    /// The pixels of a 32-bit BGRA buffer, as a camera session gives it with
    /// `kCVPixelFormatType_32BGRA`. Throws `TinySAMError.image` for another format.
    public init(_ buffer: CVPixelBuffer) throws {
        guard CVPixelBufferGetPixelFormatType(buffer) == kCVPixelFormatType_32BGRA else {
            throw TinySAMError.image(reason: "a pixel buffer must be kCVPixelFormatType_32BGRA")
        }
        CVPixelBufferLockBaseAddress(buffer, .readOnly)
        defer { CVPixelBufferUnlockBaseAddress(buffer, .readOnly) }
        guard let start = CVPixelBufferGetBaseAddress(buffer) else {
            throw TinySAMError.image(reason: "the pixel buffer has no pixels")
        }
        let size = PixelSize(
            height: CVPixelBufferGetHeight(buffer), width: CVPixelBufferGetWidth(buffer)
        )
        try self.init(bgra: start, bytesPerRow: CVPixelBufferGetBytesPerRow(buffer), size: size)
    }

    /// Rows of B, G, R, A with any padding between them.
    fileprivate init(bgra start: UnsafeRawPointer, bytesPerRow: Int, size: PixelSize) throws {
        let samples = size.area * Self.channels
        let pixels = [UInt8](unsafeUninitializedCapacity: samples) { target, count in
            var place = 0
            for y in 0..<size.height {
                let row = (start + y * bytesPerRow).assumingMemoryBound(to: UInt8.self)
                for x in 0..<size.width {
                    target[place] = row[4 * x + 2]
                    target[place + 1] = row[4 * x + 1]
                    target[place + 2] = row[4 * x]
                    place += Self.channels
                }
            }
            count = samples
        }
        try self.init(size: size, pixels: pixels)
    }
}

/// Preprocessing with vImage's resize: faster, for live video. **It differs from the host's resize** by a few
/// grey levels along edges, so masks may differ by a pixel and a dump made with it will not compare equal.
public struct VImagePreprocessor: Sendable {
    private let exact: Preprocessor
    private let imageSize: Int
    private let rules: Rules

    public init(manifest: Manifest) {
        exact = Preprocessor(manifest: manifest)
        imageSize = manifest.sizes.imageSize
        rules = manifest.rules
    }

    /// A 32-bit BGRA buffer → the inputs of `encode`. Throws `TinySAMError.image` if vImage cannot resize it.
    public func callAsFunction(_ buffer: CVPixelBuffer) throws -> PreparedImage {
        CVPixelBufferLockBaseAddress(buffer, .readOnly)
        defer { CVPixelBufferUnlockBaseAddress(buffer, .readOnly) }
        guard CVPixelBufferGetPixelFormatType(buffer) == kCVPixelFormatType_32BGRA,
            let start = CVPixelBufferGetBaseAddress(buffer)
        else {
            throw TinySAMError.image(reason: "a pixel buffer must be kCVPixelFormatType_32BGRA")
        }
        let size = PixelSize(
            height: CVPixelBufferGetHeight(buffer), width: CVPixelBufferGetWidth(buffer)
        )
        let geometry = Geometry(originalSize: size, imageSize: imageSize, rules: rules)
        var source = vImage_Buffer(
            data: start, height: vImagePixelCount(size.height), width: vImagePixelCount(size.width),
            rowBytes: CVPixelBufferGetBytesPerRow(buffer)
        )
        return try exact.prepared(resized(&source, to: geometry.validSize), geometry: geometry)
    }

    private func resized(_ source: inout vImage_Buffer, to size: PixelSize) throws -> RGBImage {
        var target = try vImage_Buffer(width: size.width, height: size.height, bitsPerPixel: 32)
        defer { target.free() }
        // The order of the channels does not matter to a resize.
        let status = vImageScale_ARGB8888(&source, &target, nil, vImage_Flags(kvImageHighQualityResampling))
        guard status == kvImageNoError, let start = target.data else {
            throw TinySAMError.image(reason: "vImage could not resize it (error \(status))")
        }
        return try RGBImage(bgra: start, bytesPerRow: target.rowBytes, size: size)
    }
}
#endif
