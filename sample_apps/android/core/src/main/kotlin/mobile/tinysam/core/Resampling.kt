package mobile.tinysam.core

import kotlin.math.abs

/** A photo in the size in which `encode` takes it: samples (height, width, 3), RGB, of 8 bits or float32. */
internal class ResizedPhoto private constructor(
    val height: Int,
    val width: Int,
    private val whole: ByteArray,
    private val floats: FloatArray,
) {
    constructor(photo: RgbImage) : this(photo.height, photo.width, photo.samples, FloatArray(0))

    constructor(height: Int, width: Int, samples: FloatArray) : this(height, width, ByteArray(0), samples)

    operator fun get(i: Int): Float = if (floats.isEmpty()) sample(whole, i).toFloat() else floats[i]
}

/** Resizes a photo as the rules of a model say; rows are read once and in order where values are whole. */
internal fun resizePhoto(photo: RgbRows, height: Int, width: Int, rules: Rules): ResizedPhoto {
    if (rules.wholeValues) return ResizedPhoto(resizeWhole(photo, height, width, rules.filter))
    val axis: (Int, Int) -> Axis =
        if (rules.antialias) {
            { from, to -> Axis.pillow(from, to, rules.filter) }
        } else {
            { from, to ->
                Axis.plain(from, to, rules.filter)
            }
        }
    return resizeFloat(photo, axis(photo.width, width), axis(photo.height, height))
}

/**
 * Resizes a photo to `height` x `width` as Pillow's `Image.resize(…)` does in 8 bits, bit for bit.
 *
 * The kernel's support grows with the shrink factor (antialiasing).  Two passes, columns then rows, each rounded to 8
 * bits; weights are fixed-point numbers of 22 bits; a pass that keeps the length is left out.  Rows are read once and in
 * order, so besides the result only the narrow photo of the first pass is held.
 */
fun resizeWhole(photo: RgbRows, height: Int, width: Int, filter: Filter = Filter.BILINEAR): RgbImage {
    val narrow = resizeColumns(photo, width, filter)
    return if (height == narrow.height) narrow else resizeRows(narrow, height, filter)
}

/** Columns, then rows, each rounded to float32. */
private fun resizeFloat(photo: RgbRows, columns: Axis, rows: Axis): ResizedPhoto {
    val length = columns.first.size * RGB_CHANNELS
    val row = ByteArray(photo.width * RGB_CHANNELS)
    val narrow = FloatArray(photo.height * length)
    for (y in 0 until photo.height) {
        photo.readRow(y, row)
        for (x in 0 until length) {
            narrow[y * length + x] = columns.weighed(x / RGB_CHANNELS) {
                sample(row, it * RGB_CHANNELS + x % RGB_CHANNELS).toFloat()
            }
        }
    }
    val result = FloatArray(rows.first.size * length)
    for (i in result.indices) result[i] = rows.weighed(i / length) { narrow[it * length + i % length] }
    return ResizedPhoto(rows.first.size, columns.first.size, result)
}

/** One axis in double: output i is Σ `weights`[i][t] · input[`first`[i] + t]. */
private class Axis(val first: IntArray, val weights: List<DoubleArray>) {
    inline fun weighed(i: Int, input: (Int) -> Float): Float {
        var sum = 0.0
        for (t in weights[i].indices) sum += weights[i][t] * input(first[i] + t)
        return sum.toFloat()
    }

    companion object {
        /** Pillow's kernels: a triangle, or Keys' cubic with a = −0.5. */
        fun pillow(source: Int, target: Int, filter: Filter): Axis {
            val scale = source.toDouble() / target
            val stretch = maxOf(scale, 1.0)
            val support = stretch * if (filter == Filter.BICUBIC) 2 else 1
            val centres = DoubleArray(target) { (it + PIXEL_CENTRE) * scale }
            val first = IntArray(target) { maxOf((centres[it] - support + PIXEL_CENTRE).toInt(), 0) }
            val weights = List(target) {
                val end = minOf((centres[it] + support + PIXEL_CENTRE).toInt(), source)
                shares(filter, first[it], end - first[it], centres[it], stretch)
            }
            return Axis(first, weights)
        }

        /** Without antialiasing. */
        fun plain(source: Int, target: Int, filter: Filter): Axis {
            val axis = MaskAxis.PlainAxis.of(source, target, filter)
            val weights = List(target) { i ->
                DoubleArray(minOf(axis.taps, source - axis.first[i])) { axis.weight(i, it) }
            }
            return Axis(axis.first, weights)
        }

        /** Shares of `count` inputs from `low` on in an output at `centre`; their sum is 1. */
        private fun shares(filter: Filter, low: Int, count: Int, centre: Double, stretch: Double): DoubleArray {
            // Times the inverse, as Pillow does: a division rounds differently.
            val inverse = 1.0 / stretch
            val values = DoubleArray(count) {
                val x = abs((it + low - centre + PIXEL_CENTRE) * inverse)
                if (filter == Filter.BICUBIC) cubic(x) else maxOf(1.0 - x, 0.0)
            }
            val total = values.sum()
            return DoubleArray(count) { values[it] / total }
        }

        /** In the order of Pillow's operations. */
        private fun cubic(x: Double): Double {
            val a = -0.5
            return when {
                x < 1 -> ((a + 2) * x - (a + 3)) * x * x + 1
                x < 2 -> (((x - 5) * x + 8) * x - 4) * a
                else -> 0.0
            }
        }
    }
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
private class FixedAxis(val first: IntArray, val weights: IntArray, val taps: Int) {
    companion object {
        fun of(source: Int, target: Int, filter: Filter): FixedAxis {
            val axis = Axis.pillow(source, target, filter)
            val taps = (axis.weights.maxOf { it.size } + UNROLLED - 1) / UNROLLED * UNROLLED
            val weights = IntArray(target * taps)
            for ((i, shares) in axis.weights.withIndex()) {
                for (t in shares.indices) weights[i * taps + t] = fixed(shares[t])
            }
            return FixedAxis(axis.first, weights, taps)
        }

        /** Half away from zero. */
        private fun fixed(share: Double): Int =
            (share * ONE + if (share < 0) -PIXEL_CENTRE else PIXEL_CENTRE).toInt()
    }
}

/** Taps that one turn of the inner loop takes: straight code of this length is checked for bounds only once. */
private const val UNROLLED = 4

private fun resizeColumns(photo: RgbRows, width: Int, filter: Filter): RgbImage {
    if (photo.width == width) return RgbImage.of(photo)
    val axis = FixedAxis.of(photo.width, width, filter)
    val row = ByteArray((photo.width + axis.taps) * RGB_CHANNELS)
    val result = ByteArray(photo.height * width * RGB_CHANNELS)
    for (y in 0 until photo.height) {
        photo.readRow(y, row)
        resizeRow(row, axis, result, y * width * RGB_CHANNELS)
    }
    return RgbImage(photo.height, width, result)
}

private fun resizeRow(row: ByteArray, axis: FixedAxis, result: ByteArray, start: Int) {
    val weights = axis.weights
    var target = start
    var k = 0
    for (first in axis.first) {
        var red = ROUNDING
        var green = ROUNDING
        var blue = ROUNDING
        var source = first * RGB_CHANNELS
        val end = k + axis.taps
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

private fun resizeRows(photo: RgbImage, height: Int, filter: Filter): RgbImage {
    val axis = FixedAxis.of(photo.height, height, filter)
    val length = photo.width * RGB_CHANNELS
    val sums = IntArray(length)
    val result = ByteArray(height * length)
    for (i in 0 until height) {
        sums.fill(ROUNDING)
        for (t in 0 until axis.taps) {
            val weight = axis.weights[i * axis.taps + t]
            if (weight != 0) addRow(sums, photo.samples, (axis.first[i] + t) * length, weight)
        }
        for (x in 0 until length) result[i * length + x] = eightBits(sums[x])
    }
    return RgbImage(height, photo.width, result)
}

private fun addRow(sums: IntArray, samples: ByteArray, start: Int, weight: Int) {
    for (x in sums.indices) sums[x] += weight * sample(samples, start + x)
}

private fun sample(samples: ByteArray, index: Int): Int = samples[index].toInt() and BYTE_MASK

/** Weights of one output may add up to a little more than one, and a cubic overshoots, so the sum is clipped. */
private fun eightBits(sum: Int): Byte = (sum shr PRECISION_BITS).coerceIn(0, BYTE_MASK).toByte()
