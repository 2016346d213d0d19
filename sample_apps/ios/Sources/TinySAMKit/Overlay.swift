import Foundation

/// Masks drawn over a photo: half-transparent colours and white outlines.
public enum Overlay {
    /// One mask in one colour (R, G, B). Throws `TinySAMError.image` if it is of another size.
    public static func draw(_ mask: Mask, over photo: RGBImage, colour: SIMD3<UInt8>) throws -> RGBImage {
        try draw(mask.pixels.map(UInt16.init), of: mask.size, over: photo, colours: [colour])
    }

    /// Every object of a label map in a colour of its own. Throws `TinySAMError.image` if it is of another size.
    public static func draw(_ map: LabelMap, over photo: RGBImage) throws -> RGBImage {
        let colours = (0..<Int(map.labels.max() ?? 0)).map(distinctColour)
        return try draw(map.labels, of: map.size, over: photo, colours: colours)
    }

    /// `colours`[i] is that of label i + 1.
    private static func draw(
        _ labels: [UInt16], of size: PixelSize, over photo: RGBImage, colours: [SIMD3<UInt8>]
    ) throws -> RGBImage {
        guard size == photo.size else {
            throw TinySAMError.image(reason: "the mask is of another size than the photo")
        }
        var pixels = photo.pixels
        for (index, label) in labels.enumerated() {
            let isEdge = isEdge(index, labels, size)
            guard label > 0 || isEdge else { continue }
            let colour = isEdge ? SIMD3(repeating: UInt8.max) : colours[Int(label) - 1]
            for channel in 0..<RGBImage.channels {
                let place = index * RGBImage.channels + channel
                pixels[place] = isEdge ? colour[channel] : mean(pixels[place], colour[channel])
            }
        }
        return RGBImage(unchecked: size, pixels: pixels)
    }

    private static let missingColour: SIMD3<UInt8> = [255, 65, 54]
    private static let extraColour: SIMD3<UInt8> = [30, 144, 255]
    private static let dimmed = 0.45

    /// Where two masks of a photo differ: on the darkened photo in red what `mask` lacks of `reference`, in blue what it
    /// has besides. A pixel stands for a square of the photo's, so that no side is longer than `longestSide`.
    ///
    /// Throws `TinySAMError.image` for masks of another size.
    public static func difference(
        of mask: Mask, from reference: Mask, over photo: RGBImage, longestSide: Int = 512
    ) throws -> RGBImage {
        guard mask.size == photo.size, reference.size == photo.size else {
            throw TinySAMError.image(reason: "a mask is of another size than the photo")
        }
        let step = (max(photo.size.height, photo.size.width) + longestSide - 1) / longestSide
        let size = PixelSize(
            height: (photo.size.height + step - 1) / step, width: (photo.size.width + step - 1) / step
        )
        var colours = (0..<size.area).map { index -> SIMD3<UInt8> in
            let (y, x) = (index / size.width * step, index % size.width * step)
            let first = (y * photo.size.width + x) * RGBImage.channels
            return SIMD3(photo.pixels[first..<first + RGBImage.channels].map { UInt8(Double($0) * dimmed) })
        }
        for (only, other, colour) in [(reference, mask, missingColour), (mask, reference, extraColour)] {
            for index in only.pixels.indices where only.pixels[index] != 0 && other.pixels[index] == 0 {
                let (y, x) = index.quotientAndRemainder(dividingBy: photo.size.width)
                colours[y / step * size.width + x / step] = colour
            }
        }
        return RGBImage(unchecked: size, pixels: colours.flatMap { [$0.x, $0.y, $0.z] })
    }

    /// Whether the pixel to the right or below belongs to another object.
    private static func isEdge(_ index: Int, _ labels: [UInt16], _ size: PixelSize) -> Bool {
        let isLastColumn = (index + 1) % size.width == 0
        let isLastRow = index + size.width >= labels.count
        return (!isLastColumn && labels[index + 1] != labels[index])
            || (!isLastRow && labels[index + size.width] != labels[index])
    }

    private static func mean(_ left: UInt8, _ right: UInt8) -> UInt8 {
        UInt8((UInt16(left) + UInt16(right)) / 2)
    }

    /// Steps of this share of the colour circle keep any number of hues apart.
    private static let goldenRatio = 0.618033988749895
    /// Saturation and brightness, in turns.
    private static let rings = [(0.75, 1.0), (0.95, 0.8), (0.5, 0.95)]

    /// Colour number `index`, of which neighbours look different; the same at every call.
    public static func distinctColour(_ index: Int) -> SIMD3<UInt8> {
        let (saturation, value) = rings[index % rings.count]
        let sector = (Double(index) * goldenRatio).truncatingRemainder(dividingBy: 1) * 6
        let fraction = sector - sector.rounded(.down)
        let low = value * (1 - saturation)
        let falling = value * (1 - saturation * fraction)
        let rising = value * (1 - saturation * (1 - fraction))
        let (red, green, blue) =
            switch Int(sector) {
            case 0: (value, rising, low)
            case 1: (falling, value, low)
            case 2: (low, value, rising)
            case 3: (low, falling, value)
            case 4: (rising, low, value)
            default: (value, low, falling)
            }
        return SIMD3(SIMD3(red, green, blue) * Double(UInt8.max), rounding: .towardZero)
    }
}

extension RGBImage {
    /// The picture as a binary PPM file (P6), which every picture tool reads.
    public var ppm: Data {
        Data("P6\n\(size.width) \(size.height)\n\(UInt8.max)\n".utf8) + Data(pixels)
    }
}
