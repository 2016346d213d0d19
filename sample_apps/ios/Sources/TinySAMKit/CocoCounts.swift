/// COCO's compressed counts: each count, from the fourth on less the one two before, in chunks of five bits,
/// low ones first, each with a bit that says whether more follow, shifted to printable ASCII.
extension RunLengths {
    private static let chunkBits = 5
    private static let chunkValues = 1 << chunkBits
    private static let chunkSign = chunkValues >> 1
    private static let firstCharacter = Int(UInt8(ascii: "0"))
    /// Of one count: enough for 32 bits and a sign.
    private static let maxChunks = 7

    /// COCO's string.
    public var compressed: String {
        var characters: [UInt8] = []
        for (i, count) in counts.enumerated() {
            var value = i > 2 ? count - counts[i - 2] : count
            var hasMore = true
            while hasMore {
                let chunk = value & (Self.chunkValues - 1)
                value >>= Self.chunkBits
                // The last chunk's top bit is the sign of the number.
                hasMore = value != (chunk & Self.chunkSign != 0 ? -1 : 0)
                characters.append(UInt8(chunk + (hasMore ? Self.chunkValues : 0) + Self.firstCharacter))
            }
        }
        return String(decoding: characters, as: UTF8.self)
    }

    /// Reads COCO's string. Throws `TinySAMError.runLengths` for one that is cut, has other characters or
    /// does not add up to `size`.
    public init(size: PixelSize, compressed: String) throws {
        try self.init(size: size, counts: Self.decompressed(compressed))
    }

    private static func decompressed(_ text: String) throws -> [Int] {
        var counts: [Int] = []
        var (value, shift) = (0, 0)
        for character in text.utf8 {
            let chunk = Int(character) - firstCharacter
            guard (0..<2 * chunkValues).contains(chunk) else {
                throw TinySAMError.runLengths(
                    reason: "counts hold the byte \(character), which is not in COCO's alphabet"
                )
            }
            value |= (chunk & (chunkValues - 1)) << shift
            shift += chunkBits
            if chunk & chunkValues != 0 {
                guard shift < maxChunks * chunkBits else {
                    throw TinySAMError.runLengths(reason: "counts hold a number of more than 32 bits")
                }
                continue
            }
            if chunk & chunkSign != 0 { value -= 1 << shift }
            counts.append(counts.count > 2 ? value + counts[counts.count - 2] : value)
            (value, shift) = (0, 0)
        }
        guard shift == 0 else {
            throw TinySAMError.runLengths(reason: "counts end in the middle of a number: the string is cut")
        }
        return counts
    }
}
