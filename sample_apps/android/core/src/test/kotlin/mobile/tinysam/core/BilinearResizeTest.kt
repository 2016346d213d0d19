package mobile.tinysam.core

import mobile.tinysam.core.json.JsonFields
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Test
import org.junit.runner.RunWith
import org.junit.runners.Parameterized

@RunWith(Parameterized::class)
class BilinearResizeTest(@Suppress("unused") private val name: String, private val case: JsonFields) {
    private val photo = case.photo("pixels")
    private val imageSize = case.integer("image_size")

    @Test
    fun `equals Pillow bit for bit`() {
        val geometry = Geometry.of(photo.height, photo.width, imageSize)
        val resized = resizeBilinear(photo, geometry.validHeight, geometry.validWidth)
        assertEquals(case.shape("resized"), listOf(resized.height, resized.width, RGB_CHANNELS))
        assertArrayEquals(case.bytes("resized"), resized.samples)
    }

    @Test
    fun `planes for encode`() {
        if (case.isNull("square")) return
        val manifest = SharedFixtures.manifest
        val sized = manifest.copy(sizes = manifest.sizes.copy(imageSize = imageSize))
        val image = preprocess(photo, sized).image
        val expected = case.bytes("square")
        assertEquals(expected.size, image.remaining())
        for (i in expected.indices) assertEquals(expected[i].toUByte().toFloat(), image.get(i), 0f)
    }

    companion object {
        @JvmStatic
        @Parameterized.Parameters(name = "{0}")
        fun cases() = SharedFixtures.cases("resize")
    }
}
