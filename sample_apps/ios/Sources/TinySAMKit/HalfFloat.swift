/// Numbers of half precision (IEEE 754 binary16) as their bits, since not every machine's Swift has `Float16`.
///
/// Masks that wait for their full size are kept in it, as on the host: half the memory, and the same outlines.
enum HalfFloat {
    private static let fractionBits = 10
    private static let exponentBits = 5
    private static let hiddenBit = Float(1 << fractionBits)
    /// Of the smallest normal number; smaller ones keep its steps.
    private static let lowestExponent = 2 - (1 << (exponentBits - 1))
    private static let infinity = UInt16((1 << exponentBits) - 1) << fractionBits

    /// The nearest half, an even one where two are as near; infinity beyond the largest.
    static func bits(_ value: Float) -> UInt16 {
        let sign: UInt16 = value.sign == .minus ? 1 << (fractionBits + exponentBits) : 0
        let size = value.magnitude
        if size.isNaN { return sign | infinity | 1 }
        let exponent = max(size.exponent, lowestExponent)
        guard exponent < 1 << (exponentBits - 1) else { return sign | infinity }
        let steps = size.scaled(by: fractionBits - exponent).rounded(.toNearestOrEven)
        // The hidden bit adds one to the exponent; a carry into it is right too.
        return sign | (UInt16(exponent - lowestExponent) << fractionBits + UInt16(steps))
    }

    static func value(_ bits: UInt16) -> Float {
        let magnitude = bits & (1 << (fractionBits + exponentBits) - 1)
        let sign: Float = bits == magnitude ? 1 : -1
        let exponent = Int(magnitude >> fractionBits)
        let fraction = Float(magnitude & (1 << fractionBits - 1))
        if magnitude >= infinity { return fraction == 0 ? sign * .infinity : .nan }
        let steps = exponent == 0 ? fraction : fraction + hiddenBit
        return sign * steps.scaled(by: max(exponent, 1) - 1 + lowestExponent - fractionBits)
    }
}

extension Float {
    /// This number times a power of two.
    fileprivate func scaled(by exponent: Int) -> Float {
        Float(sign: .plus, exponent: exponent, significand: self)
    }
}
