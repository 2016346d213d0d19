package mobile.tinysam.core

/**
 * One axis of a mask's whole way up: output i is Σ `weights`[i · STRIDE + t] · input[`first`[i] + t], t < `taps`.
 *
 * `inputs` are the cells of the low-resolution mask.
 */
internal class MaskAxis(val first: IntArray, val weights: FloatArray, val taps: Int, private val inputs: Int) {
    val outputs: Int get() = first.size

    /** Input `t` of output `i`; a tap beyond the mask has weight 0, and reads its last cell. */
    fun input(i: Int, t: Int): Int = minOf(first[i] + t, inputs - 1)

    /** The outputs that may read an input from `low` to `high`. */
    fun readersOf(low: Int, high: Int): IntRange {
        // `first` does not fall, so both ends are found by counting.
        val start = first.indexOfFirst { it >= low - taps + 1 }
        val last = first.indexOfLast { it <= high }
        return if (start < 0 || last < 0) IntRange.EMPTY else start..last
    }

    companion object {
        /** Weights of one output; those beyond `taps` are 0. */
        const val STRIDE = 4
        private const val BILINEAR_TAPS = 3
        private const val CUBIC_TAPS = 4

        /** The axes of rows and columns, as the rules of `geometry` say, from a mask of side `size`. */
        fun both(geometry: Geometry, size: Int): Pair<MaskAxis, MaskAxis> {
            val rules = geometry.rules
            if (rules.upscale == Upscale.OVER_FRAME) {
                val frame = geometry.frameSize
                return overFrame(size, frame, geometry.frameValidHeight, geometry.height) to
                    overFrame(size, frame, geometry.frameValidWidth, geometry.width)
            }
            val (rows, columns) = geometry.lowResValid(size)
            return atOnce(size, rows, geometry.height, rules.upscaleFilter) to
                atOnce(size, columns, geometry.width, rules.upscaleFilter)
        }

        /**
         * Resize `size` → `frameSize`, crop to `valid`, resize to `original`.
         *
         * Output i reads two neighbours of the frame, and each of those two neighbours of the low-resolution mask; as
         * the mask is not larger than the frame, together they are at most three.
         */
        private fun overFrame(size: Int, frameSize: Int, valid: Int, original: Int): MaskAxis {
            val outer = PlainAxis.of(valid, original, Filter.BILINEAR)
            val inner = PlainAxis.of(size, frameSize, Filter.BILINEAR)
            val first = IntArray(original) { inner.first[outer.first[it]] }
            val weights = DoubleArray(original * STRIDE)
            for (i in 0 until original) {
                for (t in 0 until outer.taps) {
                    val middle = minOf(outer.first[i] + t, valid - 1)
                    for (s in 0 until inner.taps) {
                        val tap = minOf(inner.first[middle] + s, size - 1) - first[i]
                        weights[i * STRIDE + tap] += outer.weight(i, t) * inner.weight(middle, s)
                    }
                }
            }
            return MaskAxis(first, floats(weights), BILINEAR_TAPS, size)
        }

        /** Crop `size` to `valid`, resize to `original`. */
        private fun atOnce(size: Int, valid: Int, original: Int, filter: Filter): MaskAxis {
            val axis = PlainAxis.of(valid, original, filter)
            val weights = DoubleArray(original * STRIDE)
            for (i in 0 until original) for (t in 0 until axis.taps) weights[i * STRIDE + t] = axis.weight(i, t)
            return MaskAxis(axis.first, floats(weights), maxOf(axis.taps, BILINEAR_TAPS), size)
        }

        private fun floats(values: DoubleArray) = FloatArray(values.size) { values[it].toFloat() }
    }

    /**
     * Resize of one axis without antialiasing, align_corners=False, as torch's `interpolate`: output i is
     * Σ weight(i, t) · input[`first`[i] + t].  Beyond the border the last input is repeated, as weight on it.
     */
    class PlainAxis(val first: IntArray, private val weights: DoubleArray, val taps: Int) {
        fun weight(i: Int, t: Int): Double = weights[i * taps + t]

        companion object {
            fun of(source: Int, target: Int, filter: Filter): PlainAxis {
                val taps = if (filter == Filter.BICUBIC) CUBIC_TAPS else 2
                val first = IntArray(target)
                val weights = DoubleArray(target * taps)
                for (i in 0 until target) {
                    val centre = (i + PIXEL_CENTRE) * (source.toDouble() / target) - PIXEL_CENTRE
                    val low = if (filter ==
                        Filter.BICUBIC
                    ) {
                        Math.floor(centre).toInt() - 1
                    } else {
                        maxOf(centre, 0.0).toInt()
                    }
                    val values = if (filter == Filter.BICUBIC) cubic(centre) else linear(maxOf(centre, 0.0))
                    first[i] = low.coerceIn(0, source - 1)
                    for (t in values.indices) {
                        weights[i * taps + (low + t).coerceIn(0, source - 1) - first[i]] += values[t]
                    }
                }
                return PlainAxis(first, weights, taps)
            }

            private fun linear(centre: Double): DoubleArray {
                val fraction = centre - centre.toInt()
                return doubleArrayOf(1.0 - fraction, fraction)
            }

            /** Keys' kernel with PyTorch's a = −0.75. */
            private fun cubic(centre: Double): DoubleArray {
                val a = -0.75
                val fraction = centre - Math.floor(centre)
                return DoubleArray(CUBIC_TAPS) { t ->
                    val x = Math.abs(fraction - (t - 1))
                    if (x <= 1) {
                        ((a + 2) * x - (a + 3)) * x * x + 1
                    } else {
                        ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
                    }
                }
            }
        }
    }
}
