// The part of vImage that the library calls. Nothing here runs.
@_exported import Apple

public typealias vImagePixelCount = UInt
public typealias vImage_Flags = UInt32
public typealias vImage_Error = Int
public let kvImageHighQualityResampling = 32
public let kvImageNoError = 0

public struct vImage_Buffer {
    // As Apple declares it.
    // swift-format-ignore: NeverUseImplicitlyUnwrappedOptionals
    public var data: UnsafeMutableRawPointer!
    public var height: vImagePixelCount
    public var width: vImagePixelCount
    public var rowBytes: Int

    public init(
        data: UnsafeMutableRawPointer!, height: vImagePixelCount, width: vImagePixelCount, rowBytes: Int
    ) {
        (self.data, self.height, self.width, self.rowBytes) = (data, height, width, rowBytes)
    }

    public init(width: Int, height: Int, bitsPerPixel: UInt32) throws {
        self.init(data: nil, height: 0, width: 0, rowBytes: 0)
    }

    public func free() {}
}

public func vImageScale_ARGB8888(
    _ source: UnsafePointer<vImage_Buffer>, _ target: UnsafePointer<vImage_Buffer>,
    _ temporary: UnsafeMutableRawPointer!, _ flags: vImage_Flags
) -> vImage_Error { 0 }
