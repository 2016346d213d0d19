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

    @Test
    fun `a turn and a mirror do the same`() {
        val photo = case.photo("pixels")
        val turn = uprightTurn(case.integer("orientation"))
        val turned = when (turn.degrees) {
            90 -> photo.upright(6)
            180 -> photo.upright(3)
            -90 -> photo.upright(8)
            else -> photo
        }
        val made = if (turn.isMirrored) turned.upright(2) else turned
        val upright = photo.upright(case.integer("orientation"))
        assertEquals(upright.height to upright.width, made.height to made.width)
        assertArrayEquals(upright.samples, made.samples)
    }

    companion object {
        @JvmStatic
        @Parameterized.Parameters(name = "{0}")
        fun cases() = SharedFixtures.cases("orientation")
    }
}
