package mobile.tinysam.core

import mobile.tinysam.core.json.JsonFields
import org.junit.Assert.assertEquals
import org.junit.Test
import org.junit.runner.RunWith
import org.junit.runners.Parameterized

@RunWith(Parameterized::class)
class GeometryTest(@Suppress("unused") private val name: String, private val case: JsonFields) {
    private val geometry =
        Geometry.of(case.integer("height"), case.integer("width"), case.integer("image_size"), case.rules)

    @Test
    fun `sizes of the resized photo`() {
        assertEquals(case.integer("valid_height"), geometry.validHeight)
        assertEquals(case.integer("valid_width"), geometry.validWidth)
    }

    @Test
    fun `points to the model and back`() {
        val points = case.numbers("points")
        val there = points.mapIndexed { i, it -> if (i % 2 == 0) geometry.toModelX(it) else geometry.toModelY(it) }
        val back = there.mapIndexed { i, it -> if (i % 2 == 0) geometry.toPhotoX(it) else geometry.toPhotoY(it) }
        assertEquals(case.numbers("model_points").toList(), there)
        if ("round_trip" in case.keys) assertEquals(case.numbers("round_trip").toList(), back)
        for ((point, again) in points.toList().zip(back)) assertEquals(point, again, 1e-9)
    }

    companion object {
        @JvmStatic
        @Parameterized.Parameters(name = "{0}")
        fun cases() = SharedFixtures.cases("geometry") + SharedFixtures.cases("rules_geometry")
    }
}
