package mobile.tinysam.core

/** First and last column and row of something, both inside it, in pixels of the photo. */
data class Box(val x0: Int, val y0: Int, val x1: Int, val y1: Int) {
    companion object {
        /** The box of an empty mask. */
        val EMPTY = Box(0, 0, 0, 0)
    }
}

/**
 * Non-maximum suppression: indices of the boxes that stay, by falling score; of equal scores the earlier first.
 *
 * A box goes if its IoU with one that stays and has a higher score is above `iouThreshold`.  `boxes` is flat,
 * x0, y0, x1, y1 of each.  Widths are x1 − x0, so boxes without area overlap nothing.  All in float32, as the
 * host does it.
 */
fun suppressOverlaps(boxes: FloatArray, scores: FloatArray, iouThreshold: Float): IntArray {
    val kept = ArrayList<Int>()
    for (candidate in byFallingScore(scores)) {
        if (kept.none { intersectionOverUnion(boxes, it, candidate) > iouThreshold }) kept += candidate
    }
    return kept.toIntArray()
}

/** Indices by falling score; stable, and a score that is not a number comes last. */
internal fun byFallingScore(scores: FloatArray): List<Int> =
    // 0 − score and not −score, which would put 0 and −0 in an order.
    scores.indices.sortedBy { 0f - scores[it] }

/** The boxes as [suppressOverlaps] takes them. */
internal fun flatBoxes(boxes: List<Box>): FloatArray {
    val flat = FloatArray(boxes.size * BOX_NUMBERS)
    boxes.forEachIndexed { i, box ->
        flat[i * BOX_NUMBERS] = box.x0.toFloat()
        flat[i * BOX_NUMBERS + 1] = box.y0.toFloat()
        flat[i * BOX_NUMBERS + 2] = box.x1.toFloat()
        flat[i * BOX_NUMBERS + 3] = box.y1.toFloat()
    }
    return flat
}

/** IoU of two boxes, measured as by [suppressOverlaps]. */
internal fun iouOf(first: Box, second: Box): Float = intersectionOverUnion(flatBoxes(listOf(first, second)), 1, 0)

private const val BOX_NUMBERS = 4

private fun intersectionOverUnion(boxes: FloatArray, first: Int, second: Int): Float {
    val a = first * BOX_NUMBERS
    val b = second * BOX_NUMBERS
    val width = maxOf(minOf(boxes[a + 2], boxes[b + 2]) - maxOf(boxes[a], boxes[b]), 0f)
    val height = maxOf(minOf(boxes[a + 3], boxes[b + 3]) - maxOf(boxes[a + 1], boxes[b + 1]), 0f)
    val shared = width * height
    val union = area(boxes, a) + area(boxes, b) - shared
    return if (union > 0f) shared / union else 0f
}

private fun area(boxes: FloatArray, start: Int): Float =
    (boxes[start + 2] - boxes[start]) * (boxes[start + 3] - boxes[start + 1])
