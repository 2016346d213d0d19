package mobile.tinysam.core

/**
 * One axis of both resizes of a mask: output i is Σ `weights`[i · TAPS + t] · input[`first`[i] + t], t < TAPS.
 *
 * Output i reads two neighbours of the S frame, and each of those two neighbours of the low-resolution mask; as
 * the mask is not larger than the S frame, together they are at most three.
 */
internal class MaskAxis(val first: IntArray, val weights: FloatArray, private val inputs: Int) {
    val outputs: Int get() = first.size

    /** Input `t` of output `i`; a tap beyond the mask has weight 0, and reads its last cell. */
    fun input(i: Int, t: Int): Int = minOf(first[i] + t, inputs - 1)

    /** The outputs that may read an input from `low` to `high`. */
    fun readersOf(low: Int, high: Int): IntRange {
        // `first` does not fall, so both ends are found by counting.
        val start = first.indexOfFirst { it >= low - TAPS + 1 }
        val last = first.indexOfLast { it <= high }
        return if (start < 0 || last < 0) IntRange.EMPTY else start..last
    }

    companion object {
        const val TAPS = 3

        /** Resize `size` → `imageSize`, crop to `valid`, resize to `original`. */
        fun of(size: Int, imageSize: Int, valid: Int, original: Int): MaskAxis {
            val outer = TwoTaps.of(valid, original)
            val inner = TwoTaps.of(size, imageSize)
            val first = IntArray(original)
            val weights = DoubleArray(original * TAPS)
            for (i in 0 until original) {
                val middle = outer.low[i]
                first[i] = inner.low[middle]
                inner.addTo(weights, i, first[i], middle, 1.0 - outer.fraction[i])
                inner.addTo(weights, i, first[i], outer.high(i), outer.fraction[i])
            }
            return MaskAxis(first, FloatArray(weights.size) { weights[it].toFloat() }, size)
        }
    }
}

/**
 * Bilinear resize of one axis without antialiasing, align_corners=False, as torch's `interpolate`: output i is
 * (1 − `fraction`) · input[`low`] + `fraction` · input[high].
 */
private class TwoTaps(val low: IntArray, val fraction: DoubleArray, private val source: Int) {
    fun high(i: Int): Int = minOf(low[i] + 1, source - 1)

    /** Adds `share` times this axis' output `middle` to row `i` of `weights`, which begins at input `first`. */
    fun addTo(weights: DoubleArray, i: Int, first: Int, middle: Int, share: Double) {
        val row = i * MaskAxis.TAPS - first
        weights[row + low[middle]] += share * (1.0 - fraction[middle])
        weights[row + high(middle)] += share * fraction[middle]
    }

    companion object {
        fun of(source: Int, target: Int): TwoTaps {
            val low = IntArray(target)
            val fraction = DoubleArray(target)
            val scale = source.toDouble() / target
            for (i in 0 until target) {
                val centre = maxOf((i + PIXEL_CENTRE) * scale - PIXEL_CENTRE, 0.0)
                low[i] = minOf(centre.toInt(), source - 1)
                fraction[i] = if (low[i] + 1 < source) centre - low[i] else 0.0
            }
            return TwoTaps(low, fraction, source)
        }
    }
}
