package mobile.tinysam.core

/**
 * Where the centre of a pixel lies, from its left or upper edge, in pixels.
 *
 * A convention of resampling; the shift that prompts get is the graph's business.
 */
internal const val PIXEL_CENTRE = 0.5

/**
 * Where a photo lies in the input square of side `imageSize` S, at whose top left it was put after it was resized as
 * `rules` say, and in the *frame* of side F in which points and full masks live: the same square in most families.
 *
 * `height`, `width` are pixels of the photo, `validHeight`, `validWidth` of its part of the square.
 */
class Geometry private constructor(val height: Int, val width: Int, val imageSize: Int, val rules: Rules) {
    val validHeight: Int
    val validWidth: Int

    /** Side F of the frame. */
    val frameSize: Int = imageSize * rules.frameScale

    /** The photo's part of the frame. */
    val frameValidHeight: Int
    val frameValidWidth: Int

    private val scaleX: Double
    private val scaleY: Double

    init {
        val (validHeight, validWidth) = resizedSize(height, width, imageSize, rules)
        val (frameValidHeight, frameValidWidth) = resizedSize(height, width, frameSize, rules)
        this.validHeight = validHeight
        this.validWidth = validWidth
        this.frameValidHeight = frameValidHeight
        this.frameValidWidth = frameValidWidth
        val isUniform = rules.pointScale == PointScale.UNIFORM
        val uniform = frameSize.toDouble() / maxOf(height, width)
        // Each axis has its own scale, that of the rounded size, as in the official code.
        scaleX = if (isUniform) uniform else frameValidWidth.toDouble() / width
        scaleY = if (isUniform) uniform else frameValidHeight.toDouble() / height
    }

    /** x of the photo → x of the frame. */
    fun toModelX(x: Double): Double = x * scaleX

    fun toModelY(y: Double): Double = y * scaleY

    /** x of the frame → x of the photo; the inverse of [toModelX]. */
    fun toPhotoX(x: Double): Double = x / scaleX

    fun toPhotoY(y: Double): Double = y / scaleY

    /** Height and width of the photo's part of a low-resolution mask of side `size`, rounded down and never 0. */
    internal fun lowResValid(size: Int): Pair<Int, Int> {
        if (rules.resize == Resize.STRETCH) return size to size
        val longest = maxOf(height, width)
        fun part(side: Int) = maxOf((size.toLong() * side / longest).toInt(), 1)
        return part(height) to part(width)
    }

    companion object {
        /** The geometry of a photo with sides of at least 1 pixel; throws [ImageException] for others. */
        fun of(height: Int, width: Int, imageSize: Int, rules: Rules = Rules.SAM): Geometry {
            if (height < 1 || width < 1) throw ImageException("the photo has no pixels: $height x $width")
            return Geometry(height, width, imageSize, rules)
        }

        /** Height and width of a photo in a square of `side`, and never 0 for a very long one. */
        private fun resizedSize(height: Int, width: Int, side: Int, rules: Rules): Pair<Int, Int> {
            if (rules.resize == Resize.STRETCH) return side to side
            if (rules.rounding == Rounding.DOWN) {
                // In the order of NanoSAM's operations, since a rounding error may cost a pixel.
                val aspect = width.toDouble() / height
                return if (aspect >= 1) {
                    maxOf((side / aspect).toInt(), 1) to side
                } else {
                    side to maxOf((side * aspect).toInt(), 1)
                }
            }
            val scale = side.toDouble() / maxOf(height, width)
            fun resized(length: Int) = maxOf((length * scale + PIXEL_CENTRE).toInt(), 1)
            return resized(height) to resized(width)
        }
    }
}
