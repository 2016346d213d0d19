package mobile.tinysam.core

import mobile.tinysam.core.json.JsonFields
import mobile.tinysam.core.replay.EverythingCase
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

/** Progress, cancelling and budgets of everything mode, on one of the shared recordings. */
class EverythingControlTest {
    private val manifest = SharedFixtures.manifest
    private val case = read("hierarchical_landscape")

    private fun read(name: String): EverythingCase {
        val fields = SharedFixtures.cases("everything").single { it[0] == name }[1] as JsonFields
        return EverythingCase.read(SharedFixtures.files, fields, manifest)
    }

    private fun generate(
        settings: EverythingSettings = case.settings,
        progress: (SearchProgress) -> Unit = {},
        isCancelled: () -> Boolean = { false },
    ) = EverythingGenerator(Predictor(case.engine, manifest), settings, progress, isCancelled).generate(case.photo)

    @Test
    fun `progress counts up to every point of both rounds`() {
        val seen = ArrayList<SearchProgress>()
        val result = generate(progress = { seen += it })
        assertEquals(result.decoderCalls, seen.size)
        assertEquals(setOf(1, 2), seen.map { it.round }.toSet())
        for ((_, steps) in seen.groupBy { it.round }) {
            assertEquals(steps.map { it.decoded }.sorted(), steps.map { it.decoded })
            assertEquals(steps.last().total, steps.last().decoded)
        }
        assertEquals(result.visited.size, seen.groupBy { it.round }.values.sumOf { it.last().decoded })
    }

    @Test
    fun `cancelled before the first call`() {
        val result = generate(isCancelled = { true })
        assertEquals(SearchEnd.CANCELLED, result.end)
        assertEquals(0, result.decoderCalls)
        assertTrue(result.objects.isEmpty() && result.visited.isEmpty())
    }

    @Test
    fun `cancelled in the middle keeps what was found`() {
        var calls = 0
        val result = generate(progress = { calls++ }, isCancelled = { calls >= 3 })
        assertEquals(SearchEnd.CANCELLED, result.end)
        assertEquals(3, result.decoderCalls)
        assertTrue(result.objects.isNotEmpty())
        assertEquals(3 * manifest.sizes.batch, result.visited.size)
    }

    @Test
    fun `an exception out of progress ends the search`() {
        val thrown =
            assertThrows(IllegalStateException::class.java) {
                generate(progress = { error("the screen is gone") })
            }
        assertEquals("the screen is gone", thrown.message)
    }

    @Test
    fun `no time at all`() {
        val result = generate(case.settings.copy(budgetMs = 0.0))
        assertEquals(SearchEnd.BUDGET, result.end)
        assertEquals(0, result.decoderCalls)
    }

    @Test
    fun `enough time changes nothing`() {
        val result = generate(case.settings.copy(budgetMs = 1e9))
        assertEquals(SearchEnd.COMPLETE, result.end)
        assertEquals(generate().objects, result.objects)
    }

    @Test
    fun `too few points for round 1`() {
        val settings = case.settings.copy(pointsPerSide = manifest.search.coarseFactor - 1)
        assertThrows(SettingsException::class.java) { generate(settings) }
        assertThrows(SettingsException::class.java) {
            generate(settings.copy(hierarchical = false, pointsPerSide = 0))
        }
    }

    @Test
    fun `crops need the flat grid and the photo itself`() {
        val settings = case.settings.copy(cropLayers = 1)
        assertThrows(SettingsException::class.java) { generate(settings) }
        assertThrows(SettingsException::class.java) { generate(settings.copy(hierarchical = false)) }
    }

    @Test
    fun `a point that the host would not decode`() {
        val settings = case.settings.copy(pointsPerSide = case.settings.pointsPerSide + 1, hierarchical = false)
        assertThrows(RecordingException::class.java) { generate(settings) }
    }

    @Test
    fun `a threshold that is not a number lets nothing through`() {
        val flat = read("flat_landscape")
        val settings = flat.settings.copy(stabilityScoreThresh = Double.NaN)
        val result = EverythingGenerator(Predictor(flat.engine, manifest), settings).generate(flat.photo)
        assertEquals(SearchEnd.COMPLETE, result.end)
        assertTrue(result.objects.isEmpty())
    }
}
