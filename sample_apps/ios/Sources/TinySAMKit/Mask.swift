/// A mask of a photo: 1 on the object, else 0.
public struct Mask: Equatable, Sendable {
    public let size: PixelSize
    /// u8 (H, W), 0 or one other number, mostly 1; top row first.
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

    /// Instead of 1 where pixels are to be a layer of a picture: all of a byte's bits.
    public static let opaque = UInt8.max

    /// Set pixels.
    public var area: Int { pixels.reduce(0) { $0 + ($1 == 0 ? 0 : 1) } }

    /// IoU with another mask of the same photo; 1 where both are empty. Throws `TinySAMError.image` for another size.
    public func agreement(with other: Mask) throws -> Double {
        guard size == other.size else { throw TinySAMError.image(reason: "the masks are of two sizes") }
        var (shared, union) = (0, 0)
        for (here, there) in zip(pixels, other.pixels) {
            shared += here != 0 && there != 0 ? 1 : 0
            union += here != 0 || there != 0 ? 1 : 0
        }
        return union == 0 ? 1 : Double(shared) / Double(union)
    }
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
