package mobile.tinysam.core

import mobile.tinysam.core.json.JsonFields
import mobile.tinysam.core.replay.FromBoxesCase
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Test
import org.junit.runner.RunWith
import org.junit.runners.Parameterized

/** One object for each box, as on the host, from recorded decoder answers. */
@RunWith(Parameterized::class)
class FromBoxesTest(@Suppress("unused") private val name: String, private val case: JsonFields) {
    @Test
    fun `finds the host's objects`() {
        val found = FromBoxesCase.read(SharedFixtures.files, case, SharedFixtures.manifest).found()
        val expected = case.objects("objects")
        assertEquals(expected.size, found.size)
        for ((item, fields) in found.zip(expected)) {
            assertEquals(fields.numbers("point").toList(), listOf(item.point.x, item.point.y))
            assertEquals(fields.integer("mask_index"), item.maskIndex)
            assertEquals(fields.number("score").toFloat(), item.score, 0f)
            assertEquals(fields.number("stability").toFloat(), item.stability, 0f)
            val (x0, y0, x1, y1) = fields.integers("box")
            assertEquals(Box(x0, y0, x1, y1), item.box)
            assertArrayEquals(fields.integers("counts"), item.runs.counts)
        }
    }

    companion object {
        @JvmStatic
        @Parameterized.Parameters(name = "{0}")
        fun cases() = SharedFixtures.cases("from_boxes")
    }
}
