// The part of Core Graphics that the library and the app call, as Apple declares it for Swift. Nothing here draws.
@_exported import Apple

// Apple's are classes to which Swift's own types bridge; here they are those types.
public typealias CFString = String
public typealias CFData = Data
public typealias CFDictionary = [String: Any]

public struct CGColorSpace: Sendable {
    public static let sRGB: CFString = ""
    public init?(name: CFString) {}
    init() {}
}

public func CGColorSpaceCreateDeviceRGB() -> CGColorSpace { CGColorSpace() }
public func CGColorSpaceCreateDeviceGray() -> CGColorSpace { CGColorSpace() }

public enum CGImageAlphaInfo: UInt32, Sendable {
    case none, premultipliedLast, premultipliedFirst, last, first, noneSkipLast, noneSkipFirst, alphaOnly
}

public struct CGBitmapInfo: Sendable {
    public init(rawValue: UInt32) {}
}

public enum CGColorRenderingIntent: Sendable { case defaultIntent }

public final class CGDataProvider {
    public init?(data: CFData) {}
}

// A size, so that the app's states can be tested.
public final class CGImage: Sendable {
    public let width: Int
    public let height: Int

    public init?(
        width: Int, height: Int, bitsPerComponent: Int, bitsPerPixel: Int, bytesPerRow: Int,
        space: CGColorSpace,
        bitmapInfo: CGBitmapInfo, provider: CGDataProvider, decode: UnsafePointer<CGFloat>?,
        shouldInterpolate: Bool,
        intent: CGColorRenderingIntent
    ) {
        self.width = width
        self.height = height
    }
}

public final class CGContext {
    public let data: UnsafeMutableRawPointer?
    public let bytesPerRow: Int
    private let size: (width: Int, height: Int)

    public init?(
        data: UnsafeMutableRawPointer?, width: Int, height: Int, bitsPerComponent: Int, bytesPerRow: Int,
        space: CGColorSpace, bitmapInfo: UInt32
    ) {
        size = (width, height)
        // Rows longer than what is in them, as Core Graphics makes them.
        self.bytesPerRow = bytesPerRow == 0 ? (width + 31) / 32 * 32 : bytesPerRow
        self.data = data ?? .allocate(byteCount: self.bytesPerRow * height, alignment: 32)
    }

    public func draw(_ image: CGImage, in rect: CGRect) {}

    public func makeImage() -> CGImage? {
        CGDataProvider(data: Data()).flatMap {
            CGImage(
                width: size.width, height: size.height, bitsPerComponent: 8, bitsPerPixel: 8,
                bytesPerRow: bytesPerRow,
                space: CGColorSpace(), bitmapInfo: CGBitmapInfo(rawValue: 7), provider: $0, decode: nil,
                shouldInterpolate: true, intent: .defaultIntent
            )
        }
    }
}
