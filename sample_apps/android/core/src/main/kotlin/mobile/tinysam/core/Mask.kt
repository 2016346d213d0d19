package mobile.tinysam.core

/** A mask: `pixels` (height, width), 1 inside and 0 outside.  Throws [ImageException] for another length. */
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

    companion object {
        const val OUTSIDE: Byte = 0
        const val INSIDE: Byte = 1
    }
}
