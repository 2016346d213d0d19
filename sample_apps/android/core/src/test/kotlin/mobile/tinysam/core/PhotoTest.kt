package mobile.tinysam.core

import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertSame
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

class PhotoTest {
    private val photo = RgbImage(2, 3, ByteArray(18) { it.toByte() })

    /** A photo that cannot be read from memory as a whole, as a decoded bitmap. */
    private class Rows(private val photo: RgbImage) : RgbRows by photo

    @Test
    fun `a buffer of another length`() {
        assertThrows(ImageException::class.java) { RgbImage(2, 3, ByteArray(17)) }
        assertThrows(ImageException::class.java) { RgbImage.ofGrey(2, 3, ByteArray(5)) }
        assertThrows(ImageException::class.java) { Mask(2, 3, ByteArray(7)) }
    }

    @Test
    fun `a photo without pixels`() {
        assertThrows(ImageException::class.java) { RgbImage(0, 3, ByteArray(0)) }
        assertThrows(ImageException::class.java) { Geometry.of(0, 5, imageSize = 8) }
    }

    @Test
    fun `sizes that overflow an Int are refused, not taken for small ones`() {
        assertThrows(ImageException::class.java) { RgbImage(1 shl 16, 1 shl 16, ByteArray(0)) }
    }

    @Test
    fun `grey is repeated over the channels`() =
        assertArrayEquals(byteArrayOf(7, 7, 7, 9, 9, 9), RgbImage.ofGrey(1, 2, byteArrayOf(7, 9)).samples)

    @Test
    fun `a photo in memory is not copied`() = assertSame(photo, RgbImage.of(photo))

    @Test
    fun `rows give the same photo`() = assertArrayEquals(photo.samples, RgbImage.of(Rows(photo)).samples)

    @Test
    fun `rows resize to the same photo`() {
        val direct = resizeWhole(photo, 2, 2)
        assertArrayEquals(direct.samples, resizeWhole(Rows(photo), 2, 2).samples)
    }

    @Test
    fun `the same size changes nothing`() =
        assertArrayEquals(photo.samples, resizeWhole(photo, photo.height, photo.width).samples)

    @Test
    fun `another resizer is asked for the sizes of the S frame`() {
        val asked = ArrayList<Pair<Int, Int>>()
        preprocess(photo, SharedFixtures.manifest) { source, height, width ->
            asked += height to width
            resizeWhole(source, height, width)
        }
        assertEquals(listOf(85 to 128), asked)
    }

    @Test
    fun `the image of encode is one direct buffer`() {
        val image = preprocess(photo, SharedFixtures.manifest).image
        assertTrue(image.isDirect)
        assertEquals(3 * 128 * 128, image.remaining())
    }
}
