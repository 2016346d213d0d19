package mobile.tinysam.core

/** A mask: `pixels` (height, width), 0 outside and the same other number inside.  Throws [ImageException] for another length. */
class Mask(val height: Int, val width: Int, val pixels: ByteArray) {
    init {
        val expected = height.toLong() * width
        if (height < 0 || width < 0 || pixels.size.toLong() != expected) {
            throw ImageException("a mask of $height x $width takes $expected bytes, not ${pixels.size}")
        }
    }

    fun isInside(x: Int, y: Int): Boolean = pixels[y * width + x] != OUTSIDE

    /** Pixels inside. */
    val area: Int get() = pixels.count { it != OUTSIDE }

    /** IoU with another mask of the same photo; 1 where both are empty. */
    fun agreementWith(other: Mask): Double {
        if (height != other.height || width != other.width) {
            throw ImageException("masks of two sizes, $height x $width and ${other.height} x ${other.width}")
        }
        var shared = 0
        var union = 0
        for (i in pixels.indices) {
            val here = pixels[i] != OUTSIDE
            val there = other.pixels[i] != OUTSIDE
            if (here && there) shared++
            if (here || there) union++
        }
        return if (union == 0) 1.0 else shared.toDouble() / union
    }

    companion object {
        const val OUTSIDE: Byte = 0
        const val INSIDE: Byte = 1

        /** Instead of [INSIDE] where pixels are to be a layer of a picture: all of a byte's bits. */
        const val OPAQUE: Byte = -1
    }
}
