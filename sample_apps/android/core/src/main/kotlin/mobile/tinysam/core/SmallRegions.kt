package mobile.tinysam.core

/** What [removeSmallRegions] looks for: unset regions to fill, or set regions to drop. */
enum class RegionKind { HOLES, ISLANDS }

/** A mask, and whether cleaning changed it. */
data class CleanedMask(val mask: Mask, val changed: Boolean)

/**
 * Fills holes or drops islands of fewer than `area` pixels; regions are 8-connected.
 *
 * If every island is small, the largest stays, of equal ones the first in reading order.
 */
fun removeSmallRegions(mask: Mask, area: Int, kind: RegionKind): CleanedMask {
    val wanted = if (kind == RegionKind.ISLANDS) Mask.INSIDE else Mask.OUTSIDE
    val runs = rowRuns(mask, wanted)
    val owners = connectedRegions(runs)
    val areas = IntArray(runs.size)
    runs.forEachIndexed { i, run -> areas[owners[i]] += run.end - run.start }
    val regions = owners.distinct().sorted()
    var small = regions.filter { areas[it] < area }
    if (small.isEmpty()) return CleanedMask(mask, changed = false)
    if (kind == RegionKind.ISLANDS && small.size == regions.size) {
        small = small - small.maxBy { areas[it] }
    }
    val isSmall = BooleanArray(runs.size).also { marks -> small.forEach { marks[it] = true } }
    val pixels = mask.pixels.copyOf()
    val replacement = if (kind == RegionKind.ISLANDS) Mask.OUTSIDE else Mask.INSIDE
    runs.forEachIndexed { i, run ->
        if (isSmall[owners[i]]) {
            pixels.fill(replacement, run.y * mask.width + run.start, run.y * mask.width + run.end)
        }
    }
    return CleanedMask(Mask(mask.height, mask.width, pixels), changed = true)
}

/** Columns `start` until `end` of row `y`. */
private class RowRun(val y: Int, val start: Int, val end: Int)

/** Runs of pixels that equal `wanted`, in reading order. */
private fun rowRuns(mask: Mask, wanted: Byte): List<RowRun> {
    val runs = ArrayList<RowRun>()
    for (y in 0 until mask.height) {
        val row = y * mask.width
        var x = 0
        while (x < mask.width) {
            if (mask.pixels[row + x] != wanted) {
                x++
                continue
            }
            val start = x
            while (x < mask.width && mask.pixels[row + x] == wanted) x++
            runs += RowRun(y, start, x)
        }
    }
    return runs
}

/** For each run the first run of its 8-connected region: union-find over runs that touch. */
private fun connectedRegions(runs: List<RowRun>): IntArray {
    val parents = IntArray(runs.size) { it }

    fun root(run: Int): Int {
        var i = run
        while (parents[i] != i) {
            parents[i] = parents[parents[i]]
            i = parents[i]
        }
        return i
    }

    var above = 0
    runs.forEachIndexed { i, run ->
        // Runs above that end before this one begins touch no later run of this row either.
        while (runs[above].y < run.y - 1 || (runs[above].y == run.y - 1 && runs[above].end < run.start)) above++
        var j = above
        while (runs[j].y == run.y - 1 && runs[j].start <= run.end) {
            val (first, second) = listOf(root(i), root(j)).sorted()
            parents[second] = first
            j++
        }
    }
    return IntArray(runs.size) { root(it) }
}
