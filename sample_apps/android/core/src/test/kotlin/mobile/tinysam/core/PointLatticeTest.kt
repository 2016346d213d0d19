package mobile.tinysam.core

import mobile.tinysam.core.json.JsonFields
import org.junit.Assert.assertEquals
import org.junit.Test
import org.junit.runner.RunWith
import org.junit.runners.Parameterized

@RunWith(Parameterized::class)
class PointLatticeTest(@Suppress("unused") private val name: String, private val case: JsonFields) {
    private fun points(): List<PhotoPoint> {
        val lattice = PointLattice(case.integer("height"), case.integer("width"))
        val side = case.integer("points_per_side")
        val search = SharedFixtures.manifest.search
        return when (case.text("kind")) {
            "flat" -> lattice.grid(side)
            "coarse" -> lattice.coarse(side, search)
            else -> lattice.secondRound(side, search)
        }
    }

    private fun flat(points: List<PhotoPoint>) = points.flatMap { listOf(it.x, it.y) }

    @Test
    fun `points in the host's order`() = assertEquals(case.numbers("points").toList(), flat(points()))

    @Test
    fun `points that are not done`() {
        if (case.isNull("done")) return
        val done = case.mask("done")
        val left = points().filterNot { done.isInside(it.x.toInt(), it.y.toInt()) }
        assertEquals(case.numbers("left").toList(), flat(left))
    }

    companion object {
        @JvmStatic
        @Parameterized.Parameters(name = "{0}")
        fun cases() = SharedFixtures.cases("lattice")
    }
}
