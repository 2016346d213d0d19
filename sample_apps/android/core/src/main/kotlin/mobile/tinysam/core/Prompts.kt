package mobile.tinysam.core

/** A click, in pixels of the photo: on the object, or off it. */
data class PromptPoint(val x: Double, val y: Double, val isOnObject: Boolean = true)

/** A box around the object, in pixels of the photo; (`x0`, `y0`) is its top left. */
data class PromptBox(val x0: Double, val y0: Double, val x1: Double, val y1: Double)

/**
 * Points and at most one box for one object.
 *
 * Nothing at all is a prompt beside a mask prompt only.  Throws [PromptException] for coordinates that are not
 * finite, and for a box whose first corner is not its top left.
 */
data class Prompt(val points: List<PromptPoint> = emptyList(), val box: PromptBox? = null) {
    init {
        val numbers = points.flatMap { listOf(it.x, it.y) } + boxNumbers(box)
        if (!numbers.all { it.isFinite() }) {
            throw PromptException(PromptFault.NOT_FINITE, "a prompt's coordinates must be finite, not $numbers")
        }
        if (box != null && (box.x0 > box.x1 || box.y0 > box.y1)) {
            throw PromptException(PromptFault.BOX_ORDER, "a box must have x0 <= x1 and y0 <= y1: $box")
        }
    }

    /** Whether there is neither a point nor a box. */
    val isEmpty: Boolean get() = points.isEmpty() && box == null

    /** Slots that the prompt takes, with the pad point. */
    fun slots(rules: Rules = Rules.SAM): Int =
        points.size + (if (box != null) 2 else 0) + if (hasPadPoint(rules)) 1 else 0

    /** Whether a slot of the pad label follows the points and corners. */
    internal fun hasPadPoint(rules: Rules): Boolean = when (rules.padPoint) {
        PadPoint.NEVER -> false
        PadPoint.ALWAYS -> !isEmpty
        PadPoint.WITHOUT_BOX -> !isEmpty && box == null
    }

    /** Throws [PromptException] if there is nothing to answer. */
    fun requireContent(hasMaskInput: Boolean) {
        if (isEmpty && !hasMaskInput) {
            throw PromptException(PromptFault.EMPTY, "nothing to predict: give a point, a box or a mask prompt")
        }
    }

    companion object {
        /**
         * Makes a prompt of flat lists, as files have them: `points` x0, y0, x1, y1, …, one of `labels` per point
         * as the manifest numbers them, `box` x0, y0, x1, y1.  Throws [PromptException] for anything else.
         */
        fun of(points: DoubleArray, labels: IntArray, box: DoubleArray?, codes: PromptLabels): Prompt {
            if (points.size != 2 * labels.size || (box != null && box.size != 2 * 2)) {
                throw PromptException(
                    PromptFault.LABEL_COUNT,
                    "a prompt needs x and y for each of its ${labels.size} labels, not ${points.size} numbers, " +
                        "and four numbers for a box",
                )
            }
            if (labels.any { it != codes.foreground && it != codes.background }) {
                throw PromptException(
                    PromptFault.BAD_LABEL,
                    "labels must be ${codes.foreground} (on the object) or ${codes.background} (off it)",
                )
            }
            return Prompt(
                points = labels.mapIndexed { i, label ->
                    PromptPoint(points[2 * i], points[2 * i + 1], label == codes.foreground)
                },
                box = box?.let { PromptBox(it[0], it[1], it[2], it[3]) },
            )
        }

        private fun boxNumbers(box: PromptBox?) = box?.let { listOf(it.x0, it.y0, it.x1, it.y1) }.orEmpty()
    }
}

/** Inputs of the decoder: `coords` float32 (K, N, 2), x, y in the S frame; `labels` int32 (K, N); flat. */
class PackedPrompts(val prompts: Int, val slots: Int, val coords: FloatArray, val labels: IntArray)

/**
 * Packs at most `batch` prompts into (`batch`, `slots`), as the official predictor does: the points, then the
 * two corners of the box, then a pad point where the rules say so.  What is left over, prompts beyond the last included,
 * is unused slots.  A box that reaches over the border is clipped to the photo.
 *
 * Throws [PromptException] if a prompt needs more slots or lies outside the photo.
 */
fun packPrompts(
    prompts: List<Prompt>,
    geometry: Geometry,
    codes: PromptLabels,
    slots: Int,
    batch: Int,
): PackedPrompts {
    require(prompts.size <= batch) { "${prompts.size} prompts do not fit into a batch of $batch" }
    val packed = PackedPrompts(batch, slots, FloatArray(batch * slots * 2), IntArray(batch * slots))
    packed.labels.fill(codes.unused)
    prompts.forEachIndexed { row, prompt ->
        requireFits(prompt, geometry, slots)
        var slot = row * slots
        for (point in prompt.points) {
            val label = if (point.isOnObject) codes.foreground else codes.background
            packed.set(slot++, geometry.toModelX(point.x), geometry.toModelY(point.y), label)
        }
        if (prompt.box != null) {
            val (x0, y0, x1, y1) = prompt.box.clippedTo(geometry)
            packed.set(slot++, geometry.toModelX(x0), geometry.toModelY(y0), codes.boxTopLeft)
            packed.set(slot++, geometry.toModelX(x1), geometry.toModelY(y1), codes.boxBottomRight)
        }
        if (prompt.hasPadPoint(geometry.rules)) packed.labels[slot] = codes.pad
        for (filling in slot until row * slots + geometry.rules.fixedPoints) {
            packed.set(filling, FILLING_XY, FILLING_XY, codes.pad)
        }
    }
    return packed
}

/** Coordinates, in the frame, of the slots that fill a prompt up to a fixed number of points. */
private const val FILLING_XY = -1.0

/** The part of a box inside the photo: beyond the border the network has seen nothing but padding. */
private fun PromptBox.clippedTo(geometry: Geometry): PromptBox {
    val (width, height) = geometry.width.toDouble() to geometry.height.toDouble()
    return PromptBox(
        x0.coerceIn(0.0, width),
        y0.coerceIn(0.0, height),
        x1.coerceIn(0.0, width),
        y1.coerceIn(0.0, height),
    )
}

private fun PackedPrompts.set(slot: Int, x: Double, y: Double, label: Int) {
    coords[2 * slot] = x.toFloat()
    coords[2 * slot + 1] = y.toFloat()
    labels[slot] = label
}

/** Some families were never trained with some prompts. */
private fun requireTrained(prompt: Prompt, rules: Rules) {
    if (!rules.negativePoints && prompt.points.any { !it.isOnObject }) {
        throw PromptException(
            PromptFault.NEGATIVE_POINT,
            "this model was never trained with points off the object: leave them out",
        )
    }
    val needed = prompt.slots(rules)
    if (rules.fixedPoints in 1 until needed) {
        throw PromptException(
            PromptFault.TOO_MANY_SLOTS,
            "this model takes ${rules.fixedPoints} points, a box counting for two: not $needed",
        )
    }
}

private fun requireFits(prompt: Prompt, geometry: Geometry, slots: Int) {
    requireTrained(prompt, geometry.rules)
    val needed = prompt.slots(geometry.rules)
    if (needed > slots) {
        throw PromptException(
            PromptFault.TOO_MANY_SLOTS,
            "the prompt takes $needed slots, this model has $slots: give fewer points or convert with " +
                "--slots $needed",
        )
    }
    val frame = "the photo of width ${geometry.width} and height ${geometry.height}"
    // SAM answers such prompts too, with noise; the usual cause is pixels of a resized copy.
    prompt.points.firstOrNull {
        it.x !in 0.0..geometry.width.toDouble() || it.y !in 0.0..geometry.height.toDouble()
    }
        ?.let { throw PromptException(PromptFault.POINT_OUTSIDE, "point ${it.x},${it.y} (x,y) is outside $frame") }
    val box = prompt.box ?: return
    // A detector's box may reach over the border, as long as part of it is in the photo.
    if (box.x0 > geometry.width || box.y0 > geometry.height || box.x1 < 0 || box.y1 < 0) {
        throw PromptException(PromptFault.BOX_OUTSIDE, "$box is outside $frame")
    }
}
