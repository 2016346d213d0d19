package mobile.tinysam.core

/**
 * What decides where a low-resolution mask is: its logits around the cells above the threshold, in half precision.
 *
 * It reaches a few cells beyond the last one above.  Farther out a pixel averages over cells below it only, whatever
 * they are.
 */
internal class LogitWindow private constructor(
    private val side: Int,
    private val rows: IntRange,
    private val columns: IntRange,
    private val halves: ShortArray,
) {
    /** Of the memory that it takes. */
    val bytes: Int get() = halves.size * Short.SIZE_BYTES

    /** The mask float32 (side, side), with `outside` around the window. */
    fun whole(outside: Float): FloatArray {
        val logits = FloatArray(side * side)
        logits.fill(outside)
        var next = 0
        for (y in rows) for (x in columns) logits[y * side + x] = HalfFloat.value(halves[next++])
        return logits
    }

    companion object {
        /** Cut out of a mask float32 (`side`, `side`), with `margin` cells around what is above `threshold`. */
        fun of(logits: FloatArray, side: Int, margin: Int, threshold: Float): LogitWindow {
            val (top, bottom, left, right) = cellsAbove(logits, side, threshold)
            if (bottom < 0) return LogitWindow(side, IntRange.EMPTY, IntRange.EMPTY, ShortArray(0))
            val rows = maxOf(top - margin, 0)..minOf(bottom + margin, side - 1)
            val columns = maxOf(left - margin, 0)..minOf(right + margin, side - 1)
            val halves = ShortArray(rows.count() * columns.count())
            var next = 0
            for (y in rows) for (x in columns) halves[next++] = HalfFloat.bits(logits[y * side + x])
            return LogitWindow(side, rows, columns, halves)
        }
    }
}

/** First and last row, first and last column of the cells of a mask (`side`, `side`) above `cut`; −1 for the last. */
internal fun cellsAbove(logits: FloatArray, side: Int, cut: Float): IntArray {
    var (top, left, bottom, right) = intArrayOf(side, side, -1, -1)
    for (y in 0 until side) {
        for (x in 0 until side) {
            if (logits[y * side + x] > cut) {
                top = minOf(top, y)
                bottom = y
                left = minOf(left, x)
                right = maxOf(right, x)
            }
        }
    }
    return intArrayOf(top, bottom, left, right)
}
