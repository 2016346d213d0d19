package mobile.tinysam.core

import mobile.tinysam.core.json.JsonFields
import mobile.tinysam.core.replay.readFloatTensor
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Test
import org.junit.runner.RunWith
import org.junit.runners.Parameterized

@RunWith(Parameterized::class)
class ResamplingTest(@Suppress("unused") private val name: String, private val case: JsonFields) {
    private val photo = case.photo("pixels")
    private val imageSize = case.integer("image_size")

    @Test
    fun `equals Pillow bit for bit`() {
        val geometry = Geometry.of(photo.height, photo.width, imageSize)
        val resized = resizeWhole(photo, geometry.validHeight, geometry.validWidth)
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

@RunWith(Parameterized::class)
class RulesOfResizeTest(@Suppress("unused") private val name: String, private val case: JsonFields) {
    @Test
    fun `equals the host's photo`() {
        val photo = case.photo("pixels")
        val rules = case.rules
        val geometry = Geometry.of(photo.height, photo.width, case.integer("image_size"), rules)
        val found = resizePhoto(photo, geometry.validHeight, geometry.validWidth, rules)
        assertEquals(case.shape("resized"), listOf(found.height, found.width, RGB_CHANNELS))
        if (rules.wholeValues) {
            val expected = case.bytes("resized")
            for (i in expected.indices) assertEquals(expected[i].toUByte().toFloat(), found[i], 0f)
        } else {
            val expected = readFloatTensor(SharedFixtures.files, case.fields("resized"))
            for (i in expected.indices) assertEquals(expected[i], found[i], FLOAT_STEPS)
        }
    }

    companion object {
        /** Of values to 255: float32 sums in another order (docs/app_fixtures.md). */
        private const val FLOAT_STEPS = 1e-3f

        @JvmStatic
        @Parameterized.Parameters(name = "{0}")
        fun cases() = SharedFixtures.cases("rules_resize")
    }
}
