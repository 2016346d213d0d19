/// A mask of a photo: 1 on the object, else 0.
public struct Mask: Equatable, Sendable {
    public let size: PixelSize
    /// u8 (H, W), 0 or 1, top row first.
    public let pixels: [UInt8]

    /// Any value but 0 counts as set. Throws `TinySAMError.image` for another number of pixels.
    public init(size: PixelSize, pixels: [UInt8]) throws {
        guard size.height >= 0, size.width >= 0, pixels.count == size.area else {
            throw TinySAMError.image(
                reason: "\(pixels.count) pixels are not a mask of \(size.height) x \(size.width)"
            )
        }
        self.init(unchecked: size, pixels: pixels.map { $0 == 0 ? 0 : 1 })
    }

    init(unchecked size: PixelSize, pixels: [UInt8]) {
        assert(pixels.count == size.area)
        self.size = size
        self.pixels = pixels
    }

    /// Set pixels.
    public var area: Int { pixels.reduce(0) { $0 + Int($1) } }
}

/// A rectangle of whole pixels in a photo: `rows` and `columns`, each without its end.
struct PixelWindow: Equatable, Sendable {
    let rows: Range<Int>
    let columns: Range<Int>

    static let empty = PixelWindow(rows: 0..<0, columns: 0..<0)

    static func whole(_ size: PixelSize) -> PixelWindow {
        PixelWindow(rows: 0..<size.height, columns: 0..<size.width)
    }

    var size: PixelSize { PixelSize(height: rows.count, width: columns.count) }
}
