package mobile.tinysam.core

import mobile.tinysam.core.json.JsonFields
import org.junit.Assert.assertArrayEquals
import org.junit.Test
import org.junit.runner.RunWith
import org.junit.runners.Parameterized

@RunWith(Parameterized::class)
class SuppressionTest(@Suppress("unused") private val name: String, private val case: JsonFields) {
    @Test
    fun `equals the host`() {
        val threshold = case.number("iou_threshold").toFloat()
        val kept = suppressOverlaps(case.floats("boxes"), case.floats("scores"), threshold)
        assertArrayEquals(case.integers("kept"), kept)
    }

    companion object {
        @JvmStatic
        @Parameterized.Parameters(name = "{0}")
        fun cases() = SharedFixtures.cases("nms")
    }
}
