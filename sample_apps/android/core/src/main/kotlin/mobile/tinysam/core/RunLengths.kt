package mobile.tinysam.core

/**
 * A mask as COCO run lengths: `counts` of 0s, 1s, 0s, … down the columns of `height` x `width` pixels.
 *
 * [encode] and [fromCoco] make checked ones.
 */
class RunLengths internal constructor(val height: Int, val width: Int, val counts: IntArray) {
    /** Pixels inside. */
    val area: Int get() = (1 until counts.size step 2).sumOf { counts[it] }

    /** First and last column and row inside; [Box.EMPTY] for an empty mask. */
    val box: Box
        get() {
            if (area == 0) return Box.EMPTY
            var (x0, y0, x1, y1) = intArrayOf(width, height, 0, 0)
            forEachRun { start, end ->
                val last = end - 1
                x0 = minOf(x0, start / height)
                x1 = maxOf(x1, last / height)
                val crossesColumns = start / height != last / height
                y0 = minOf(y0, if (crossesColumns) 0 else start % height)
                y1 = maxOf(y1, if (crossesColumns) height - 1 else last % height)
            }
            return Box(x0, y0, x1, y1)
        }

    /** The mask in pixels. */
    fun decode(): Mask {
        val pixels = ByteArray(height * width)
        forEachPixel { pixels[it] = Mask.INSIDE }
        return Mask(height, width, pixels)
    }

    /** Calls `action` with y · width + x of every pixel inside, down the columns. */
    inline fun forEachPixel(action: (Int) -> Unit) {
        forEachRun { start, end ->
            var x = start / height
            var y = start % height
            repeat(end - start) {
                action(y * width + x)
                y++
                if (y == height) {
                    y = 0
                    x++
                }
            }
        }
    }

    /** Calls `action` with the places x · height + y where each run of 1s (that has pixels) begins and ends. */
    inline fun forEachRun(action: (start: Int, end: Int) -> Unit) {
        var place = 0
        counts.forEachIndexed { i, count ->
            if (i % 2 == 1 && count > 0) action(place, place + count)
            place += count
        }
    }

    /** COCO's compressed `counts`. */
    fun toCoco(): String = compressCounts(counts)

    override fun equals(other: Any?): Boolean = other is RunLengths &&
        height == other.height &&
        width == other.width &&
        counts.contentEquals(other.counts)

    override fun hashCode(): Int = counts.contentHashCode()

    companion object {
        fun encode(mask: Mask): RunLengths {
            val builder = RunLengthBuilder(mask.height, mask.width, 0, mask.width)
            for (y in 0 until mask.height) builder.addRow(y, mask.pixels, y * mask.width)
            return builder.build(mask.height)
        }

        /** Reads COCO's compressed `counts`; throws [RunLengthException] if they are no mask of that size. */
        fun fromCoco(height: Int, width: Int, counts: String): RunLengths =
            fromCounts(height, width, decompressCounts(counts))

        /** Checks `counts`; throws [RunLengthException] if they are no mask of that size. */
        fun fromCounts(height: Int, width: Int, counts: LongArray): RunLengths {
            val pixels = height.toLong() * width
            val isWrong = height < 0 || width < 0 || pixels > Int.MAX_VALUE || counts.any { it !in 0..pixels }
            if (isWrong || counts.sum() != pixels) {
                throw RunLengthException(
                    RunLengthFault.SUM,
                    "run lengths must be at least 0 and add up to $height x $width; their sum is ${counts.sum()}",
                )
            }
            return RunLengths(height, width, IntArray(counts.size) { counts[it].toInt() })
        }
    }
}

/**
 * Makes run lengths of a mask that comes row by row, so that no mask of full size need exist.
 *
 * Columns `x0` until `x1` of a mask of `height` x `width` are given, and are 0 elsewhere.
 */
internal class RunLengthBuilder(
    private val height: Int,
    private val width: Int,
    private val x0: Int,
    private val x1: Int,
) {
    private val above = ByteArray(x1 - x0)

    /** x · height + y of every pixel that differs from the one above it, or from 0 at the first row given. */
    private var changes = IntArray(INITIAL_CHANGES)
    private var count = 0

    /** Takes row `y`, `pixels` from `start` on; rows come in order and without gaps. */
    fun addRow(y: Int, pixels: ByteArray, start: Int) {
        for (x in above.indices) {
            val pixel = pixels[start + x]
            if (pixel != above[x]) {
                above[x] = pixel
                add((x0 + x) * height + y)
            }
        }
    }

    /** Ends the mask above row `endY`. */
    fun build(endY: Int): RunLengths {
        for (x in above.indices) if (above[x] != Mask.OUTSIDE) add((x0 + x) * height + endY)
        changes.sort(0, count)
        val places = withoutMeetings()
        val total = height * width
        // The last run has at least one pixel, but for a mask without any.
        val ends = if (places.isNotEmpty() && places.last() == total) places else places + total
        return RunLengths(height, width, IntArray(ends.size) { ends[it] - if (it == 0) 0 else ends[it - 1] })
    }

    /** A run that goes on at the top of the next column ends and begins at the same place: neither counts. */
    private fun withoutMeetings(): IntArray {
        var kept = 0
        for (i in 0 until count) {
            if (kept > 0 && changes[kept - 1] == changes[i]) kept-- else changes[kept++] = changes[i]
        }
        return changes.copyOf(kept)
    }

    private fun add(place: Int) {
        if (count == changes.size) changes = changes.copyOf(count * 2)
        changes[count++] = place
    }

    private companion object {
        const val INITIAL_CHANGES = 4096
    }
}
