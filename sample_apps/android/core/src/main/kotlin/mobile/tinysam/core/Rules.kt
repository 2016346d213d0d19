package mobile.tinysam.core

import mobile.tinysam.core.json.JsonFields

/** How a photo comes into the square of side S: its longest side becomes S, or both do. */
enum class Resize { LONGEST_SIDE, STRETCH }

/** The length of the shorter side in whole pixels, never 0. */
enum class Rounding { HALF_UP, DOWN }

/** Interpolation with half-pixel centres; the cubic has a = −0.5 for photos and −0.75 for masks. */
enum class Filter { BILINEAR, BICUBIC }

/** Each axis by the resized over the original length, or both by F / longest side. */
enum class PointScale { PER_AXIS, UNIFORM }

/** Whether a prompt gets one slot of the pad label after its points and corners. */
enum class PadPoint { WITHOUT_BOX, ALWAYS, NEVER }

/** Which of a prompt's masks is shown: the first of those with the highest score of this kind. */
enum class Selection { PREDICTED_IOU, STABILITY }

/** Whether low-resolution logits come to the photo's size over the frame of side F, or at once. */
enum class Upscale { OVER_FRAME, AT_ONCE }

/**
 * What an app does around the network, as data: a family differs from Segment Anything here, never by its name
 * (docs/contract.md).
 *
 * `resize`, `rounding` and `filter` make the photo's part of the square; with `antialias` the filter's support grows with
 * the shrink factor, and with `wholeValues` the result is rounded to 8 bits.  Points and masks live in a frame of side
 * F = S · `frameScale`.  With `fixedPoints` above 0 every prompt has as many.  `numMasks` come back per prompt.
 */
data class Rules(
    val resize: Resize,
    val rounding: Rounding,
    val filter: Filter,
    val antialias: Boolean,
    val wholeValues: Boolean,
    val pointScale: PointScale,
    val frameScale: Int,
    val padPoint: PadPoint,
    val fixedPoints: Int,
    val negativePoints: Boolean,
    val maskPrompts: Boolean,
    val numMasks: Int,
    val selection: Selection,
    val upscale: Upscale,
    val upscaleFilter: Filter,
) {
    companion object {
        /** Of Segment Anything and TinySAM. */
        val SAM = Rules(
            resize = Resize.LONGEST_SIDE,
            rounding = Rounding.HALF_UP,
            filter = Filter.BILINEAR,
            antialias = true,
            wholeValues = true,
            pointScale = PointScale.PER_AXIS,
            frameScale = 1,
            padPoint = PadPoint.WITHOUT_BOX,
            fixedPoints = 0,
            negativePoints = true,
            maskPrompts = true,
            numMasks = 3,
            selection = Selection.PREDICTED_IOU,
            upscale = Upscale.OVER_FRAME,
            upscaleFilter = Filter.BILINEAR,
        )
    }
}

/** Reads a manifest's `rules`; throws the error of `fields` that names the rule that this library does not know. */
internal fun readRules(fields: JsonFields): Rules {
    val rules =
        Rules(
            resize = fields.oneOf("resize"),
            rounding = fields.oneOf("rounding"),
            filter = fields.oneOf("filter"),
            antialias = fields.flag("antialias"),
            wholeValues = fields.flag("whole_values"),
            pointScale = fields.oneOf("point_scale"),
            frameScale = fields.within("frame_scale", 1..MAX_FRAME_SCALE),
            padPoint = fields.oneOf("pad_point"),
            fixedPoints = fields.within("fixed_points", 0..MAX_FIXED_POINTS),
            negativePoints = fields.flag("negative_points"),
            maskPrompts = fields.flag("mask_prompts"),
            numMasks = fields.within("num_masks", 1..MAX_MASKS),
            selection = fields.oneOf("selection"),
            upscale = fields.oneOf("upscale"),
            upscaleFilter = fields.oneOf("upscale_filter"),
        )
    if (rules.upscale == Upscale.OVER_FRAME && rules.upscaleFilter != Filter.BILINEAR) {
        fields.wrong("upscale_filter", "'bilinear' where masks are upscaled over the frame")
    }
    if (rules.wholeValues && !rules.antialias) fields.wrong("antialias", "true where values are whole")
    return rules
}

private const val MAX_FRAME_SCALE = 8
private const val MAX_FIXED_POINTS = 64
private const val MAX_MASKS = 4

private inline fun <reified T : Enum<T>> JsonFields.oneOf(key: String): T {
    val value = text(key)
    val known = enumValues<T>()
    return known.firstOrNull { it.name.lowercase() == value }
        ?: wrong(key, "one of ${known.joinToString { it.name.lowercase() }}")
}

private fun JsonFields.within(key: String, range: IntRange): Int {
    val value = integer(key)
    return if (value in range) value else wrong(key, "${range.first} to ${range.last}")
}
