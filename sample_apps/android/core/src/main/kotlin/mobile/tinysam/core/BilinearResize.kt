package mobile.tinysam.core

import kotlin.math.abs

/**
 * Resizes a photo to `height` x `width` as Pillow's `Image.resize(..., BILINEAR)` does, bit for bit.
 *
 * The filter is a triangle whose support grows with the shrink factor (antialiasing).  Two passes, columns then
 * rows, each rounded to 8 bits; weights are fixed-point numbers of 22 bits; a pass that keeps the length is left
 * out.  Rows are read once and in order, so besides the result only the narrow photo of the first pass is held.
 */
fun resizeBilinear(photo: RgbRows, height: Int, width: Int): RgbImage {
    val narrow = resizeColumns(photo, width)
    return if (height == narrow.height) narrow else resizeRows(narrow, height)
}

/** Leaves room for 8 bits of the pixel and for the sum of a few weights above one. */
private const val PRECISION_BITS = Int.SIZE_BITS - Byte.SIZE_BITS - 2
private const val ROUNDING = 1 shl (PRECISION_BITS - 1)
private const val ONE = 1 shl PRECISION_BITS

/**
 * One axis: output i is Σ `weights`[i · taps + t] · input[`first`[i] + t].
 *
 * `taps` is a multiple of [UNROLLED]; those that an output does not need have weight 0 and may lie beyond the
 * input's end, by less than `taps`.
 */
private class TriangleFilter(val first: IntArray, val weights: IntArray, val taps: Int) {
    companion object {
        fun of(source: Int, target: Int): TriangleFilter {
            val scale = source.toDouble() / target
            val support = maxOf(scale, 1.0)
            val centres = DoubleArray(target) { (it + PIXEL_CENTRE) * scale }
            val first = IntArray(target) { maxOf((centres[it] - support + PIXEL_CENTRE).toInt(), 0) }
            val counts = IntArray(target) {
                minOf((centres[it] + support + PIXEL_CENTRE).toInt(), source) -
                    first[it]
            }
            val taps = (counts.max() + UNROLLED - 1) / UNROLLED * UNROLLED
            val weights = IntArray(target * taps)
            for (i in 0 until target) {
                val shares = triangle(first[i], counts[i], centres[i], support)
                for (t in shares.indices) weights[i * taps + t] = (shares[t] * ONE + PIXEL_CENTRE).toInt()
            }
            return TriangleFilter(first, weights, taps)
        }

        /** Shares of `count` inputs from `low` on in an output at `centre`; their sum is 1. */
        private fun triangle(low: Int, count: Int, centre: Double, support: Double): DoubleArray {
            // Times the inverse, as Pillow does: a division rounds differently.
            val inverse = 1.0 / support
            val values = DoubleArray(count) { maxOf(1.0 - abs((it + low - centre + PIXEL_CENTRE) * inverse), 0.0) }
            val total = values.sum()
            return DoubleArray(count) { values[it] / total }
        }
    }
}

/** Taps that one turn of the inner loop takes: straight code of this length is checked for bounds only once. */
private const val UNROLLED = 4

private fun resizeColumns(photo: RgbRows, width: Int): RgbImage {
    if (photo.width == width) return RgbImage.of(photo)
    val filter = TriangleFilter.of(photo.width, width)
    val row = ByteArray((photo.width + filter.taps) * RGB_CHANNELS)
    val result = ByteArray(photo.height * width * RGB_CHANNELS)
    for (y in 0 until photo.height) {
        photo.readRow(y, row)
        resizeRow(row, filter, result, y * width * RGB_CHANNELS)
    }
    return RgbImage(photo.height, width, result)
}

private fun resizeRow(row: ByteArray, filter: TriangleFilter, result: ByteArray, start: Int) {
    val weights = filter.weights
    var target = start
    var k = 0
    for (first in filter.first) {
        var red = ROUNDING
        var green = ROUNDING
        var blue = ROUNDING
        var source = first * RGB_CHANNELS
        val end = k + filter.taps
        while (k < end) {
            val weight0 = weights[k]
            val weight1 = weights[k + 1]
            val weight2 = weights[k + 2]
            val weight3 = weights[k + 3]
            red += weight0 * sample(row, source) + weight1 * sample(row, source + 3) +
                weight2 * sample(row, source + 6) + weight3 * sample(row, source + 9)
            green += weight0 * sample(row, source + 1) + weight1 * sample(row, source + 4) +
                weight2 * sample(row, source + 7) + weight3 * sample(row, source + 10)
            blue += weight0 * sample(row, source + 2) + weight1 * sample(row, source + 5) +
                weight2 * sample(row, source + 8) + weight3 * sample(row, source + 11)
            source += UNROLLED * RGB_CHANNELS
            k += UNROLLED
        }
        result[target] = eightBits(red)
        result[target + 1] = eightBits(green)
        result[target + 2] = eightBits(blue)
        target += RGB_CHANNELS
    }
}

private fun resizeRows(photo: RgbImage, height: Int): RgbImage {
    val filter = TriangleFilter.of(photo.height, height)
    val length = photo.width * RGB_CHANNELS
    val sums = IntArray(length)
    val result = ByteArray(height * length)
    for (i in 0 until height) {
        sums.fill(ROUNDING)
        for (t in 0 until filter.taps) {
            val weight = filter.weights[i * filter.taps + t]
            if (weight != 0) addRow(sums, photo.samples, (filter.first[i] + t) * length, weight)
        }
        for (x in 0 until length) result[i * length + x] = eightBits(sums[x])
    }
    return RgbImage(height, photo.width, result)
}

private fun addRow(sums: IntArray, samples: ByteArray, start: Int, weight: Int) {
    for (x in sums.indices) sums[x] += weight * sample(samples, start + x)
}

private fun sample(samples: ByteArray, index: Int): Int = samples[index].toInt() and BYTE_MASK

/** Weights of one output may add up to a little more than one, so the sum is clipped. */
private fun eightBits(sum: Int): Byte = minOf(sum shr PRECISION_BITS, BYTE_MASK).toByte()
