package mobile.tinysam.core

/**
 * Numbers of half precision (IEEE 754 binary16) as their bits, which the JVM has no type for.
 *
 * Masks that wait for their full size are kept in it, as on the host: half the memory, and the same outlines.
 */
internal object HalfFloat {
    private const val FRACTION_BITS = 10
    private const val EXPONENT_BITS = 5
    private const val SIGN_PLACE = FRACTION_BITS + EXPONENT_BITS

    /** Of the smallest normal number; smaller ones keep its steps. */
    private const val LOWEST_EXPONENT = 2 - (1 shl (EXPONENT_BITS - 1))
    private const val INFINITY = ((1 shl EXPONENT_BITS) - 1) shl FRACTION_BITS

    /** The nearest half, an even one where two are as near; infinity beyond the largest. */
    fun bits(value: Float): Short {
        val sign = (value.toRawBits() ushr (Int.SIZE_BITS - 1)) shl SIGN_PLACE
        if (value.isNaN()) return (sign or INFINITY or 1).toShort()
        val exponent = maxOf(Math.getExponent(value), LOWEST_EXPONENT)
        if (exponent >= 1 shl (EXPONENT_BITS - 1)) return (sign or INFINITY).toShort()
        val steps = Math.rint(Math.scalb(Math.abs(value.toDouble()), FRACTION_BITS - exponent)).toInt()
        // The hidden bit adds one to the exponent; a carry into it is right too.
        return (sign or (((exponent - LOWEST_EXPONENT) shl FRACTION_BITS) + steps)).toShort()
    }

    fun value(bits: Short): Float {
        val magnitude = bits.toInt() and ((1 shl SIGN_PLACE) - 1)
        val sign = if (bits < 0) -1f else 1f
        val exponent = magnitude ushr FRACTION_BITS
        val fraction = magnitude and ((1 shl FRACTION_BITS) - 1)
        if (magnitude >= INFINITY) return if (fraction == 0) sign * Float.POSITIVE_INFINITY else Float.NaN
        val steps = if (exponent == 0) fraction else fraction + (1 shl FRACTION_BITS)
        return sign * Math.scalb(steps.toFloat(), maxOf(exponent, 1) - 1 + LOWEST_EXPONENT - FRACTION_BITS)
    }
}
