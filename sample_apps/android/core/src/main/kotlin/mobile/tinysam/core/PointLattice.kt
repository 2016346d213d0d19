package mobile.tinysam.core

/** A place in a photo, in pixels. */
data class PhotoPoint(val x: Double, val y: Double)

/** A point of a lattice and its place in it, of which neighbours differ by 1. */
internal class LatticePoint(val point: PhotoPoint, val column: Int, val row: Int) {
    /** Of the chessboard's two colours. */
    val isWhite: Boolean get() = (column + row) % 2 == 0

    /** Whether one of the eight cells around this one is among `cells`. */
    fun isBeside(cells: Set<Pair<Int, Int>>): Boolean =
        (-1..1).any { x -> (-1..1).any { y -> (x != 0 || y != 0) && (column + x to row + y) in cells } }
}

/** Where everything mode puts its points on a photo of `height` x `width`, in the order in which it visits them. */
class PointLattice(private val height: Int, private val width: Int) {
    /** Centres of a square grid, row by row, x fastest: SAM's grid. */
    fun grid(pointsPerSide: Int): List<PhotoPoint> {
        val shares = List(pointsPerSide) { (it + PIXEL_CENTRE) / pointsPerSide }
        return shares.flatMap { y -> shares.map { x -> PhotoPoint(x * width, y * height) } }
    }

    /** Round 1 of the hierarchical mode. */
    fun coarse(pointsPerSide: Int, search: EverythingSearch): List<PhotoPoint> =
        coarseLattice(pointsPerSide, search).map { it.point }

    /** Round 1, at every `coarseFactor`-th cell of the lattice. */
    internal fun coarseLattice(pointsPerSide: Int, search: EverythingSearch): List<LatticePoint> {
        val side = pointsPerSide / search.coarseFactor
        return grid(side).mapIndexed { i, point ->
            LatticePoint(point, i % side * search.coarseFactor, i / side * search.coarseFactor)
        }
    }

    /**
     * Round 2: around each coarse point the manifest's offsets times (width // n, height // n), n the points per
     * side, where still inside the photo.  This lattice is the official code's, not SAM's grid.
     */
    fun secondRound(pointsPerSide: Int, search: EverythingSearch): List<PhotoPoint> =
        secondRoundLattice(pointsPerSide, search).map { it.point }

    internal fun secondRoundLattice(pointsPerSide: Int, search: EverythingSearch): List<LatticePoint> {
        val stepX = width / pointsPerSide
        val stepY = height / pointsPerSide
        return coarseLattice(pointsPerSide, search)
            .flatMap { centre ->
                search.offsets.map { (x, y) ->
                    val point = PhotoPoint(centre.point.x + x * stepX, centre.point.y + y * stepY)
                    LatticePoint(point, centre.column + x, centre.row + y)
                }
            }.filter { it.point.x < width && it.point.y < height }
    }
}
