package mobile.tinysam.core

import kotlin.math.abs
import kotlin.math.ceil

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

/** One axis: output i is Σ `weights`[i · taps + t] · input[`first`[i] + t] over t < `counts`[i]. */
private class TriangleFilter(val first: IntArray, val counts: IntArray, val weights: IntArray, val taps: Int) {
    companion object {
        fun of(source: Int, target: Int): TriangleFilter {
            val scale = source.toDouble() / target
            val support = maxOf(scale, 1.0)
            val taps = ceil(support).toInt() * 2 + 1
            val filter = TriangleFilter(IntArray(target), IntArray(target), IntArray(target * taps), taps)
            val shares = DoubleArray(taps)
            // Times the inverse, as Pillow does: a division rounds differently.
            val inverse = 1.0 / support
            for (i in 0 until target) {
                val centre = (i + PIXEL_CENTRE) * scale
                val low = maxOf((centre - support + PIXEL_CENTRE).toInt(), 0)
                val count = minOf((centre + support + PIXEL_CENTRE).toInt(), source) - low
                for (t in 0 until count) shares[t] = triangle((t + low - centre + PIXEL_CENTRE) * inverse)
                filter.set(i, low, count, shares)
            }
            return filter
        }

        private fun triangle(x: Double): Double = maxOf(1.0 - abs(x), 0.0)
    }

    private fun set(i: Int, low: Int, count: Int, shares: DoubleArray) {
        var total = 0.0
        for (t in 0 until count) total += shares[t]
        first[i] = low
        counts[i] = count
        for (t in 0 until count) weights[i * taps + t] = (shares[t] / total * ONE + PIXEL_CENTRE).toInt()
    }
}

private fun resizeColumns(photo: RgbRows, width: Int): RgbImage {
    if (photo.width == width) return RgbImage.of(photo)
    val filter = TriangleFilter.of(photo.width, width)
    val row = ByteArray(photo.width * RGB_CHANNELS)
    val result = ByteArray(photo.height * width * RGB_CHANNELS)
    for (y in 0 until photo.height) {
        photo.readRow(y, row)
        resizeRow(row, filter, result, y * width * RGB_CHANNELS)
    }
    return RgbImage(photo.height, width, result)
}

private fun resizeRow(row: ByteArray, filter: TriangleFilter, result: ByteArray, start: Int) {
    var target = start
    for (i in filter.first.indices) {
        var red = ROUNDING
        var green = ROUNDING
        var blue = ROUNDING
        var source = filter.first[i] * RGB_CHANNELS
        val firstWeight = i * filter.taps
        for (k in firstWeight until firstWeight + filter.counts[i]) {
            val weight = filter.weights[k]
            red += weight * (row[source].toInt() and BYTE_MASK)
            green += weight * (row[source + 1].toInt() and BYTE_MASK)
            blue += weight * (row[source + 2].toInt() and BYTE_MASK)
            source += RGB_CHANNELS
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
        for (t in 0 until filter.counts[i]) {
            addRow(sums, photo.samples, (filter.first[i] + t) * length, filter.weights[i * filter.taps + t])
        }
        for (x in 0 until length) result[i * length + x] = eightBits(sums[x])
    }
    return RgbImage(height, photo.width, result)
}

private fun addRow(sums: IntArray, samples: ByteArray, start: Int, weight: Int) {
    for (x in sums.indices) sums[x] += weight * (samples[start + x].toInt() and BYTE_MASK)
}

/** Weights of one output may add up to a little more than one, so the sum is clipped. */
private fun eightBits(sum: Int): Byte = minOf(sum shr PRECISION_BITS, BYTE_MASK).toByte()
