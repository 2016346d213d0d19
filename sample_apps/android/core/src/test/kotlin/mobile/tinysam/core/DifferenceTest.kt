package mobile.tinysam.core

import mobile.tinysam.core.json.JsonFields
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test
import org.junit.runner.RunWith
import org.junit.runners.Parameterized

/** Where two masks differ is drawn as on the host. */
@RunWith(Parameterized::class)
class DifferenceTest(@Suppress("unused") private val name: String, private val case: JsonFields) {
    private fun mask(key: String) = Mask(case.shape(key)[0], case.shape(key)[1], case.bytes(key))

    private val photo = RgbImage(case.shape("photo")[0], case.shape("photo")[1], case.bytes("photo"))

    @Test
    fun `the picture is the host's`() {
        val picture =
            differencePicture(photo, mask("mask"), mask("reference"), case.integer("longest_side"))
        assertEquals(case.shape("picture").toList(), listOf(picture.height, picture.width, RGB_CHANNELS))
        assertArrayEquals(case.bytes("picture"), picture.samples)
    }

    @Test
    fun `a mask of another size`() {
        val other = Mask(photo.height + 1, photo.width, ByteArray((photo.height + 1) * photo.width))
        assertThrows(ImageException::class.java) { differencePicture(photo, mask("mask"), other) }
    }

    companion object {
        @JvmStatic
        @Parameterized.Parameters(name = "{0}")
        fun cases() = SharedFixtures.cases("difference")
    }
}
