package mobile.tinysam.core

/**
 * The objects of everything mode on one sheet: `labels` (height, width), i + 1 for object i, 0 for none.
 *
 * Each pixel belongs to the smallest object over it; the numbers are unsigned.
 */
class LabelMap private constructor(val height: Int, val width: Int, private val labels: ShortArray) {
    /** The number at y · width + x. */
    operator fun get(index: Int): Int = labels[index].toInt() and MAX_OBJECTS

    companion object {
        /** As many as 16 bits can number. */
        const val MAX_OBJECTS = 0xFFFF

        /** Paints the objects of a photo over one another; throws [SettingsException] for too many. */
        fun of(objects: List<SegmentedObject>, height: Int, width: Int): LabelMap {
            if (objects.size > MAX_OBJECTS) {
                throw SettingsException("a label map holds at most $MAX_OBJECTS objects, not ${objects.size}")
            }
            val labels = ShortArray(height * width)
            for (i in paintOrder(objects)) {
                val number = (i + 1).toShort()
                objects[i].runs.forEachPixel { labels[it] = number }
            }
            return LabelMap(height, width, labels)
        }

        /**
         * Indices from bottom to top: large below small, then low score below high, then late below early.
         *
         * So that a part stays visible on its whole, and equal inputs always give the same map.
         */
        fun paintOrder(objects: List<SegmentedObject>): List<Int> = objects.indices.sortedWith(
            compareBy({ -objects[it].runs.area }, { objects[it].score }, { -it }),
        )
    }
}
