package mobile.tinysam.core

import mobile.tinysam.core.json.JsonFields
import mobile.tinysam.core.replay.readFloatTensor
import org.junit.Assert.assertEquals
import org.junit.Test
import org.junit.runner.RunWith
import org.junit.runners.Parameterized

@RunWith(Parameterized::class)
class StabilityTest(@Suppress("unused") private val name: String, private val case: JsonFields) {
    @Test
    fun `equals the host`() {
        val logits = readFloatTensor(SharedFixtures.files, case.fields("logits"))
        val score = stabilityScore(logits, case.number("threshold"), case.number("offset"))
        assertEquals(case.number("stability").toFloat(), score, 0f)
    }

    companion object {
        @JvmStatic
        @Parameterized.Parameters(name = "{0}")
        fun cases() = SharedFixtures.cases("stability")
    }
}
