package mobile.tinysam.core

/** The part of low-resolution masks, float32 (`side`, `side`), that lies on a photo. */
internal class LowResolutionExtent(private val geometry: Geometry, val side: Int) {
    private val height = cells(geometry.validHeight)
    private val width = cells(geometry.validWidth)
    private val rows = wholeCells(height)
    private val columns = wholeCells(width)

    private fun cells(valid: Int): Double = (valid * side).toDouble() / geometry.imageSize

    // Python's round: an even number where two are as near.
    private fun wholeCells(cells: Double): Int = maxOf(1, Math.rint(cells).toInt())

    /** How many of the photo's cells are above `cut`. */
    fun countAbove(logits: FloatArray, cut: Float): Int {
        var count = 0
        for (y in 0 until rows) for (x in 0 until columns) if (logits[y * side + x] > cut) count++
        return count
    }

    /** Inclusive box in photo pixels, from where the largest logit of a row or column passes `threshold`, which is 0. */
    fun roughBox(logits: FloatArray, threshold: Float): Box {
        val byColumn = FloatArray(columns) { Float.NEGATIVE_INFINITY }
        val byRow = FloatArray(rows) { Float.NEGATIVE_INFINITY }
        for (y in 0 until rows) {
            for (x in 0 until columns) {
                val logit = logits[y * side + x]
                byColumn[x] = maxOf(byColumn[x], logit)
                byRow[y] = maxOf(byRow[y], logit)
            }
        }
        val (x0, x1) = pixels(byColumn, threshold, width, geometry.width)
        val (y0, y1) = pixels(byRow, threshold, height, geometry.height)
        return Box(x0, y0, x1, y1)
    }

    /** First and last pixel between the ends of a profile. */
    private fun pixels(profile: FloatArray, threshold: Float, cells: Double, pixels: Int): Pair<Int, Int> {
        val (low, high) = ends(profile, threshold)
        val scale = pixels / cells
        val first = Math.ceil(low * scale - PIXEL_CENTRE)
        val last = Math.ceil(high * scale - PIXEL_CENTRE) - 1
        val end = pixels - 1.0
        return first.coerceIn(0.0, end).toInt() to last.coerceIn(0.0, end).toInt()
    }

    /** Where the first and the last run above the threshold begin and end, in cells. */
    private fun ends(profile: FloatArray, threshold: Float): Pair<Float, Float> {
        val first = profile.indexOfFirst { it > threshold }
        val last = profile.indexOfLast { it > threshold }
        if (first < 0) return 0f to 0f
        var low = 0f
        var high = profile.size.toFloat()
        if (first > 0) {
            low = (first + PIXEL_CENTRE).toFloat() - profile[first] / (profile[first] - profile[first - 1])
        }
        if (last < profile.size - 1) {
            high = (last + PIXEL_CENTRE).toFloat() + profile[last] / (profile[last] - profile[last + 1])
        }
        return low to high
    }
}
