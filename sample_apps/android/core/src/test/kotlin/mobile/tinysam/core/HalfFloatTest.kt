package mobile.tinysam.core

import mobile.tinysam.core.json.JsonFields
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Test

/** float32 → float16, as masks wait for their full size. */
class HalfFloatTest {
    @Test
    fun `numbers are rounded as on the host`() {
        for ((_, case) in SharedFixtures.cases("half")) {
            case as JsonFields
            val halves = case.integers("halves").map { it.toShort() }.toShortArray()
            assertArrayEquals(halves, case.floats("values").map(HalfFloat::bits).toShortArray())
        }
    }

    @Test
    fun `every half comes back`() {
        for (bits in Short.MIN_VALUE..Short.MAX_VALUE) {
            val value = HalfFloat.value(bits.toShort())
            if (!value.isNaN()) assertEquals(bits.toShort(), HalfFloat.bits(value))
        }
    }

    @Test
    fun `no number stays none`() {
        assertEquals(Float.NaN, HalfFloat.value(HalfFloat.bits(Float.NaN)), 0f)
        assertEquals(Float.NEGATIVE_INFINITY, HalfFloat.value(HalfFloat.bits(Float.NEGATIVE_INFINITY)), 0f)
    }
}
