package mobile.tinysam.core

/** Channels of RGB. */
const val RGB_CHANNELS = 3

/** The 8 bits of a byte, which Kotlin takes for signed. */
internal const val BYTE_MASK = 0xFF

/**
 * A photo that gives its pixels row by row, top row first, so that a decoded bitmap of many megapixels need not
 * be copied to be resized.
 */
interface RgbRows {
    val height: Int
    val width: Int

    /** Writes row `y` to the beginning of `row`, which may be longer: R, G, B of each pixel. */
    fun readRow(y: Int, row: ByteArray)
}

/** The part of a photo in `window`, read where the photo lies. */
internal class RgbPart(private val photo: RgbRows, private val window: PixelWindow) : RgbRows {
    override val height: Int get() = window.rows.count()
    override val width: Int get() = window.columns.count()
    private val whole = ByteArray(photo.width * RGB_CHANNELS)

    override fun readRow(y: Int, row: ByteArray) {
        photo.readRow(window.rows.first + y, whole)
        whole.copyInto(row, 0, window.columns.first * RGB_CHANNELS, (window.columns.last + 1) * RGB_CHANNELS)
    }
}

/** A photo in memory: `samples` uint8 (height, width, 3), RGB.  Throws [ImageException] for another length. */
class RgbImage(override val height: Int, override val width: Int, val samples: ByteArray) : RgbRows {
    init {
        if (height < 1 || width < 1) throw ImageException("the photo has no pixels: $height x $width")
        val expected = height.toLong() * width * RGB_CHANNELS
        if (samples.size.toLong() != expected) {
            throw ImageException("a photo of $height x $width takes $expected bytes, not ${samples.size}")
        }
    }

    override fun readRow(y: Int, row: ByteArray) {
        samples.copyInto(row, 0, y * width * RGB_CHANNELS, (y + 1) * width * RGB_CHANNELS)
    }

    companion object {
        /** A grey photo, `samples` uint8 (height, width), repeated over the channels. */
        fun ofGrey(height: Int, width: Int, samples: ByteArray): RgbImage =
            RgbImage(height, width, ByteArray(samples.size * RGB_CHANNELS) { samples[it / RGB_CHANNELS] })

        /** All rows of a photo. */
        fun of(rows: RgbRows): RgbImage {
            if (rows is RgbImage) return rows
            val samples = ByteArray(Math.multiplyExact(rows.height, Math.multiplyExact(rows.width, RGB_CHANNELS)))
            val row = ByteArray(rows.width * RGB_CHANNELS)
            for (y in 0 until rows.height) {
                rows.readRow(y, row)
                row.copyInto(samples, y * row.size)
            }
            return RgbImage(rows.height, rows.width, samples)
        }
    }
}
