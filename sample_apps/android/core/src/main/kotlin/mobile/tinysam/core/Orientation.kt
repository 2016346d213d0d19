package mobile.tinysam.core

/** Values of EXIF's tag Orientation (0x0112): where the camera's first row and column belong. */
private const val MIRRORED = 2
private const val TURNED_HALF = 3
private const val FLIPPED = 4
private const val TRANSPOSED = 5
private const val TURNED_RIGHT = 6
private const val TRANSVERSED = 7
private const val TURNED_LEFT = 8

/**
 * The photo as a viewer shows it; `orientation` is EXIF's number, and any that EXIF does not know changes nothing.
 */
fun RgbImage.upright(orientation: Int): RgbImage {
    val (start, stepX, stepY) = walk(orientation) ?: return this
    val swaps = orientation >= TRANSPOSED
    val outHeight = if (swaps) width else height
    val outWidth = if (swaps) height else width
    val result = ByteArray(samples.size)
    var target = 0
    for (y in 0 until outHeight) {
        var source = (start + y * stepY) * RGB_CHANNELS
        repeat(outWidth) {
            for (channel in 0 until RGB_CHANNELS) result[target++] = samples[source + channel]
            source += stepX * RGB_CHANNELS
        }
    }
    return RgbImage(outHeight, outWidth, result)
}

/** Where the upright photo's first pixel is in this one, and the way to the next column and row, in pixels. */
private fun RgbImage.walk(orientation: Int): Triple<Int, Int, Int>? {
    val lastColumn = width - 1
    val lastRow = (height - 1) * width
    return when (orientation) {
        MIRRORED -> Triple(lastColumn, -1, width)
        TURNED_HALF -> Triple(lastRow + lastColumn, -1, -width)
        FLIPPED -> Triple(lastRow, 1, -width)
        TRANSPOSED -> Triple(0, width, 1)
        TURNED_RIGHT -> Triple(lastRow, -width, 1)
        TRANSVERSED -> Triple(lastRow + lastColumn, -width, -1)
        TURNED_LEFT -> Triple(lastColumn, width, -1)
        else -> null
    }
}

/** A turn clockwise by `degrees`, and then a mirror from left to right. */
data class Turn(val degrees: Int, val isMirrored: Boolean)

/** What shows a photo of an EXIF `orientation` upright, for those who let others move the pixels. */
fun uprightTurn(orientation: Int): Turn = when (orientation) {
    MIRRORED -> Turn(0, true)
    TURNED_HALF -> Turn(HALF, false)
    FLIPPED -> Turn(HALF, true)
    TRANSPOSED -> Turn(QUARTER, true)
    TURNED_RIGHT -> Turn(QUARTER, false)
    TRANSVERSED -> Turn(-QUARTER, true)
    TURNED_LEFT -> Turn(-QUARTER, false)
    else -> Turn(0, false)
}

private const val QUARTER = 90
private const val HALF = 180
