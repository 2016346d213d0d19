package mobile.tinysam.core

import mobile.tinysam.core.json.JsonFields
import org.junit.Assert.assertThrows
import org.junit.Test
import org.junit.runner.RunWith
import org.junit.runners.Parameterized

/** Manifests of strangers: read, or refused with the library's own exception, and nothing else. */
@RunWith(Parameterized::class)
class HostileManifestTest(@Suppress("unused") private val name: String, private val case: JsonFields) {
    @Test
    fun `is read or refused`() {
        val text = changed()
        if (case.flag("refused")) {
            assertThrows(ManifestException::class.java) { parseManifest(text) }
            return
        }
        try {
            parseManifest(text)
        } catch (_: ManifestException) {
            // Refused, which every edit may be.
        }
    }

    /** At character `at`, `drop` characters are replaced by `put`, as often as `repeat` says. */
    private fun changed(): String {
        val text = SharedFixtures.manifestText
        val at = case.integer("at")
        return text.substring(0, at) + case.text("put").repeat(case.integer("repeat")) +
            text.substring(at + case.integer("drop"))
    }

    private companion object {
        @JvmStatic
        @Parameterized.Parameters(name = "{0}")
        fun cases() = SharedFixtures.cases("hostile")
    }
}
