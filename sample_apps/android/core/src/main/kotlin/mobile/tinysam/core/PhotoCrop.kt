package mobile.tinysam.core

/** One part of a photo that everything mode looks at on its own; `layer` 0 is the whole photo. */
internal class PhotoCrop(val layer: Int, val window: PixelWindow) {
    val area: Int get() = window.rows.count() * window.columns.count()

    /** Along each side of the grid on this crop. */
    fun pointsPerSide(settings: EverythingSettings): Int {
        var side = settings.pointsPerSide
        repeat(layer) { side /= settings.cropPointsDownscale }
        return maxOf(1, side)
    }

    /** A mask of this crop as one of the photo of `height` x `width`. */
    fun placed(found: SegmentedObject, height: Int, width: Int): SegmentedObject {
        val (left, top) = window.columns.first to window.rows.first
        if (found.runs.height == height && found.runs.width == width) return found
        val builder = RunLengthBuilder(height, width, left, window.columns.last + 1)
        val mask = found.runs.decode()
        for (y in 0 until mask.height) builder.addRow(top + y, mask.pixels, y * mask.width)
        val box = found.box
        return found.copy(
            runs = builder.build(window.rows.last + 1),
            box = Box(box.x0 + left, box.y0 + top, box.x1 + left, box.y1 + top),
        )
    }

    /** Whether a mask's `box`, in pixels of the crop, ends at an edge of the crop inside the photo. */
    fun cuts(box: Box, height: Int, width: Int, edge: Int): Boolean {
        val (left, top) = window.columns.first to window.rows.first
        return isCut(box.x0 + left, left, 0, edge) ||
            isCut(box.y0 + top, top, 0, edge) ||
            isCut(box.x1 + left, window.columns.last + 1, width, edge) ||
            isCut(box.y1 + top, window.rows.last + 1, height, edge)
    }

    private fun isCut(end: Int, ofCrop: Int, ofPhoto: Int, edge: Int) =
        Math.abs(end - ofCrop) <= edge && Math.abs(end - ofPhoto) > edge
}

/**
 * Segment Anything's crops of a photo of `height` x `width`, the whole first: layer i has 2ⁱ x 2ⁱ that overlap by
 * `overlapRatio` of the short side over 2ⁱ⁻¹ (arXiv 2304.02643, appendix B).
 */
internal fun cropsOf(height: Int, width: Int, layers: Int, overlapRatio: Double): List<PhotoCrop> {
    val crops = arrayListOf(PhotoCrop(0, PixelWindow(0 until height, 0 until width)))
    for (layer in 1..layers) {
        val count = 1 shl layer
        val overlap = (overlapRatio * minOf(height, width) * (2.0 / count)).toInt()
        for (column in 0 until count) {
            for (row in 0 until count) {
                val window = PixelWindow(part(row, count, height, overlap), part(column, count, width, overlap))
                crops += PhotoCrop(layer, window)
            }
        }
    }
    return crops
}

/** Of `count` parts of `side` that overlap, number `index`. */
private fun part(index: Int, count: Int, side: Int, overlap: Int): IntRange {
    val length = (overlap * (count - 1) + side + count - 1) / count
    val start = (length - overlap) * index
    return start until minOf(start + length, side)
}
