package mobile.tinysam.core

/** A place in a photo, in pixels. */
data class PhotoPoint(val x: Double, val y: Double)

/** Where everything mode puts its points on a photo of `height` x `width`, in the order in which it visits them. */
class PointLattice(private val height: Int, private val width: Int) {
    /** Centres of a square grid, row by row, x fastest: SAM's grid. */
    fun grid(pointsPerSide: Int): List<PhotoPoint> {
        val shares = List(pointsPerSide) { (it + PIXEL_CENTRE) / pointsPerSide }
        return shares.flatMap { y -> shares.map { x -> PhotoPoint(x * width, y * height) } }
    }

    /** Round 1 of the hierarchical mode. */
    fun coarse(pointsPerSide: Int, search: EverythingSearch): List<PhotoPoint> =
        grid(pointsPerSide / search.coarseFactor)

    /**
     * Round 2: around each coarse point the manifest's offsets times (width // n, height // n), n the points per
     * side, where still inside the photo.  This lattice is the official code's, not SAM's grid.
     */
    fun secondRound(pointsPerSide: Int, search: EverythingSearch): List<PhotoPoint> {
        val stepX = width / pointsPerSide
        val stepY = height / pointsPerSide
        return coarse(pointsPerSide, search)
            .flatMap { point ->
                search.offsets.map { (x, y) -> PhotoPoint(point.x + x * stepX, point.y + y * stepY) }
            }.filter { it.x < width && it.y < height }
    }
}
