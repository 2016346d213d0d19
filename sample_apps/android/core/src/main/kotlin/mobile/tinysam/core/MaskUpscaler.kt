package mobile.tinysam.core

/** Rows and columns of a photo. */
internal class PixelWindow(val rows: IntRange, val columns: IntRange) {
    val width: Int get() = columns.last - columns.first + 1
}

/**
 * Brings low-resolution logits back to the photo, as the rules of its geometry say.
 *
 * Over the frame that is two bilinear resizes (m → F, then the photo's part of it → the photo), at once it is one of the
 * photo's part.  All are separable and linear, so each axis is one matrix with a few weights per row, and rows are made
 * one at a time: nothing of full size is held but the mask.  `maskSize` is m; logits are float32 (m, m), flat.
 */
class MaskUpscaler(private val geometry: Geometry, private val maskSize: Int, private val threshold: Float) {
    private val rowAxis: MaskAxis
    private val columnAxis: MaskAxis

    init {
        val (rows, columns) = MaskAxis.both(geometry, maskSize)
        rowAxis = rows
        columnAxis = columns
    }

    /** The mask in pixels of the photo: `inside` where the full-size logit is above the threshold. */
    fun mask(lowRes: FloatArray, inside: Byte = Mask.INSIDE): Mask {
        val pixels = ByteArray(geometry.height * geometry.width)
        val window = windowAbove(lowRes, threshold)
        if (window != null) {
            forEachRow(lowRes, window) { y, row ->
                markAbove(row, threshold, pixels, y * geometry.width + window.columns.first, inside)
            }
        }
        return Mask(geometry.height, geometry.width, pixels)
    }

    /**
     * Where a logit above `cut` may be; null if nowhere.  Bilinear upscaling only averages, so what lies outside it is
     * known without computing it; a cubic overshoots.
     */
    internal fun windowAbove(lowRes: FloatArray, cut: Float): PixelWindow? {
        if (geometry.rules.upscaleFilter != Filter.BILINEAR) {
            return PixelWindow(0 until geometry.height, 0 until geometry.width)
        }
        val (top, bottom, left, right) = cellsAbove(lowRes, maskSize, cut)
        if (bottom < 0) return null
        val rows = rowAxis.readersOf(top, bottom)
        val columns = columnAxis.readersOf(left, right)
        // A mask that lies in the padding is read by no pixel.
        return if (rows.isEmpty() || columns.isEmpty()) null else PixelWindow(rows, columns)
    }

    /** Calls `action` with each row of `window` and its full-size logits, in an array that is used again. */
    internal fun forEachRow(lowRes: FloatArray, window: PixelWindow, action: (y: Int, row: FloatArray) -> Unit) {
        val firstRead = rowAxis.input(window.rows.first, 0)
        val wide = widen(lowRes, window, firstRead)
        val row = FloatArray(window.width)
        for (y in window.rows) {
            val starts = IntArray(MaskAxis.STRIDE) {
                (rowAxis.input(y, minOf(it, rowAxis.taps - 1)) - firstRead) * row.size
            }
            weighRows(wide, starts, rowAxis.weights, y * MaskAxis.STRIDE, row)
            if (rowAxis.taps == MaskAxis.STRIDE) {
                addRow(wide, starts.last(), rowAxis.weights[(y + 1) * MaskAxis.STRIDE - 1], row)
            }
            action(y, row)
        }
    }

    /** The mask's run lengths, of which only the part that it may touch is made. */
    internal fun runLengths(lowRes: FloatArray): RunLengths {
        val window = windowAbove(lowRes, threshold) ?: PixelWindow(0 until 0, 0 until 0)
        val builder = RunLengthBuilder(
            geometry.height,
            geometry.width,
            window.columns.first,
            window.columns.last + 1,
        )
        if (!window.rows.isEmpty()) {
            val bits = ByteArray(window.width)
            forEachRow(lowRes, window) { y, row ->
                markAbove(row, threshold, bits, start = 0)
                builder.addRow(y, bits, start = 0)
            }
        }
        return builder.build(window.rows.last + 1)
    }

    /** The full-size logit at one pixel, equal to that of [forEachRow]. */
    internal fun logitAt(lowRes: FloatArray, x: Int, y: Int): Float {
        var sum = 0f
        for (t in 0 until rowAxis.taps) {
            val wide = widened(lowRes, rowAxis.input(y, t) * maskSize, x)
            val term = rowAxis.weights[y * MaskAxis.STRIDE + t] * wide
            sum = if (t == 0) term else sum + term
        }
        return sum
    }

    /** The columns only: rows of m → rows of the window, for the rows from `firstRead` that the window reads. */
    private fun widen(lowRes: FloatArray, window: PixelWindow, firstRead: Int): FloatArray {
        val lastRead = rowAxis.input(window.rows.last, rowAxis.taps - 1)
        val wide = FloatArray((lastRead - firstRead + 1) * window.width)
        var target = 0
        for (row in firstRead..lastRead) {
            for (x in window.columns) wide[target++] = widened(lowRes, row * maskSize, x)
        }
        return wide
    }

    private fun widened(lowRes: FloatArray, rowStart: Int, x: Int): Float {
        val weights = columnAxis.weights
        val i = x * MaskAxis.STRIDE
        val sum = weights[i] * lowRes[rowStart + columnAxis.input(x, 0)] +
            weights[i + 1] * lowRes[rowStart + columnAxis.input(x, 1)] +
            weights[i + 2] * lowRes[rowStart + columnAxis.input(x, 2)]
        if (columnAxis.taps < MaskAxis.STRIDE) return sum
        return sum + weights[i + MaskAxis.STRIDE - 1] * lowRes[rowStart + columnAxis.input(x, MaskAxis.STRIDE - 1)]
    }
}

// These two are functions of their own so that the JIT compiles them as the plain loops that they are.

private fun weighRows(wide: FloatArray, starts: IntArray, weights: FloatArray, first: Int, row: FloatArray) {
    val (start0, start1, start2) = starts
    val weight0 = weights[first]
    val weight1 = weights[first + 1]
    val weight2 = weights[first + 2]
    for (x in row.indices) {
        row[x] = weight0 * wide[start0 + x] + weight1 * wide[start1 + x] + weight2 * wide[start2 + x]
    }
}

/** The fourth tap of a cubic. */
private fun addRow(wide: FloatArray, start: Int, weight: Float, row: FloatArray) {
    for (x in row.indices) row[x] += weight * wide[start + x]
}

/** Writes `inside` or 0 for each of `row`, whether it is above `cut`, into `pixels` from `start` on. */
internal fun markAbove(row: FloatArray, cut: Float, pixels: ByteArray, start: Int, inside: Byte = Mask.INSIDE) {
    for (x in row.indices) pixels[start + x] = if (row[x] > cut) inside else Mask.OUTSIDE
}

/** How many of `row` are above `cut`. */
internal fun countAbove(row: FloatArray, cut: Float): Int {
    var count = 0
    for (value in row) if (value > cut) count++
    return count
}
