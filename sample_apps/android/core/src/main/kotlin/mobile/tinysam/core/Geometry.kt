package mobile.tinysam.core

/**
 * Where the centre of a pixel lies, from its left or upper edge, in pixels.
 *
 * A convention of resampling; the shift that prompts get is the graph's business.
 */
internal const val PIXEL_CENTRE = 0.5

/**
 * Where a photo lies in the S frame: the square of side `imageSize` S in which it was resized so that its long
 * side is S, and put at the top left.
 *
 * `height`, `width` are pixels of the photo, `validHeight`, `validWidth` of the resized one.
 */
data class Geometry(
    val height: Int,
    val width: Int,
    val validHeight: Int,
    val validWidth: Int,
    val imageSize: Int,
) {
    // Each axis has its own scale, that of the rounded size, as in the official code.
    private val scaleX = validWidth.toDouble() / width
    private val scaleY = validHeight.toDouble() / height

    /** x of the photo → x of the S frame. */
    fun toModelX(x: Double): Double = x * scaleX

    fun toModelY(y: Double): Double = y * scaleY

    /** x of the S frame → x of the photo; the inverse of [toModelX]. */
    fun toPhotoX(x: Double): Double = x / scaleX

    fun toPhotoY(y: Double): Double = y / scaleY

    companion object {
        /** The geometry of a photo with sides of at least 1 pixel; throws [ImageException] for others. */
        fun of(height: Int, width: Int, imageSize: Int): Geometry {
            if (height < 1 || width < 1) throw ImageException("the photo has no pixels: $height x $width")
            val scale = imageSize.toDouble() / maxOf(height, width)
            return Geometry(
                height = height,
                width = width,
                validHeight = resizedSide(height, scale),
                validWidth = resizedSide(width, scale),
                imageSize = imageSize,
            )
        }

        /** Rounded half up, and never 0 for a very long photo. */
        private fun resizedSide(side: Int, scale: Double): Int = maxOf((side * scale + PIXEL_CENTRE).toInt(), 1)
    }
}
