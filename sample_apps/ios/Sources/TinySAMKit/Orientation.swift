/// How a camera was held (EXIF tag 0x0112): the corner where the stored picture's first row and column begin.
public enum EXIFOrientation: Int, CaseIterable, Sendable {
    case topLeft = 1
    case topRight, bottomRight, bottomLeft, leftTop, rightTop, rightBottom, leftBottom

    /// Any number that EXIF does not know changes nothing.
    public init(exif value: Int) {
        self = EXIFOrientation(rawValue: value) ?? .topLeft
    }

    /// Whether rows become columns, so that height and width change places.
    public var swapsSides: Bool { rawValue >= Self.leftTop.rawValue }

    /// Where the upright picture reads in a stored one of `size`: the first pixel and the steps, in pixels,
    /// to the next column and the next row.
    fileprivate func walk(_ size: PixelSize) -> (start: Int, column: Int, row: Int) {
        let (height, width) = (size.height, size.width)
        let (lastColumn, lastRow) = (width - 1, (height - 1) * width)
        return switch self {
        case .topLeft: (0, 1, width)
        case .topRight: (lastColumn, -1, width)
        case .bottomRight: (lastRow + lastColumn, -1, -width)
        case .bottomLeft: (lastRow, 1, -width)
        case .leftTop: (0, width, 1)
        case .rightTop: (lastRow, -width, 1)
        case .rightBottom: (lastRow + lastColumn, -width, -1)
        case .leftBottom: (lastColumn, width, -1)
        }
    }
}

extension RGBImage {
    /// The photo as a viewer shows it: `orientation` undone by turning and mirroring whole pixels.
    public func upright(from orientation: EXIFOrientation) -> RGBImage {
        if orientation == .topLeft { return self }
        let turned = orientation.swapsSides ? PixelSize(height: size.width, width: size.height) : size
        let walk = orientation.walk(size)
        let result = [UInt8](unsafeUninitializedCapacity: pixels.count) { target, count in
            pixels.withUnsafeBufferPointer { source in
                var place = 0
                for y in 0..<turned.height {
                    var pixel = walk.start + y * walk.row
                    for _ in 0..<turned.width {
                        for channel in 0..<Self.channels {
                            target[place + channel] = source[pixel * Self.channels + channel]
                        }
                        place += Self.channels
                        pixel += walk.column
                    }
                }
            }
            count = pixels.count
        }
        return RGBImage(unchecked: turned, pixels: result)
    }
}
