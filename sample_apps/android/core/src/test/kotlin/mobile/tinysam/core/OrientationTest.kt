package mobile.tinysam.core

import mobile.tinysam.core.json.JsonFields
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Test
import org.junit.runner.RunWith
import org.junit.runners.Parameterized

@RunWith(Parameterized::class)
class OrientationTest(@Suppress("unused") private val name: String, private val case: JsonFields) {
    @Test
    fun `turns and mirrors as EXIF says`() {
        val upright = case.photo("pixels").upright(case.integer("orientation"))
        assertEquals(case.shape("upright"), listOf(upright.height, upright.width, RGB_CHANNELS))
        assertArrayEquals(case.bytes("upright"), upright.samples)
    }

    companion object {
        @JvmStatic
        @Parameterized.Parameters(name = "{0}")
        fun cases() = SharedFixtures.cases("orientation")
    }
}
