package mobile.tinysam.core

import mobile.tinysam.core.json.JsonFields
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Test
import org.junit.runner.RunWith
import org.junit.runners.Parameterized

@RunWith(Parameterized::class)
class SmallRegionsTest(@Suppress("unused") private val name: String, private val case: JsonFields) {
    @Test
    fun `equals the host`() {
        val kind = RegionKind.valueOf(case.text("mode").uppercase())
        val (mask, changed) = removeSmallRegions(case.mask("mask"), case.integer("area"), kind)
        assertEquals(case.flag("changed"), changed)
        assertArrayEquals(case.bytes("cleaned"), mask.pixels)
    }

    companion object {
        @JvmStatic
        @Parameterized.Parameters(name = "{0}")
        fun cases() = SharedFixtures.cases("small_regions")
    }
}
