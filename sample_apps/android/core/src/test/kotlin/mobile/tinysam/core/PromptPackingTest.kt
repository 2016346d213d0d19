package mobile.tinysam.core

import mobile.tinysam.core.json.JsonFields
import mobile.tinysam.core.replay.readPrompt
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test
import org.junit.runner.RunWith
import org.junit.runners.Parameterized

@RunWith(Parameterized::class)
class PromptPackingTest(@Suppress("unused") private val name: String, private val case: JsonFields) {
    private val codes = SharedFixtures.manifest.labels

    private fun pack(): PackedPrompts {
        val prompts = case.objects("prompts").map { fields ->
            readPrompt(fields, codes).also { it.requireContent(fields.flag("has_mask_input")) }
        }
        val size = case.integer("image_size")
        val geometry = Geometry.of(case.integer("height"), case.integer("width"), size, case.rules)
        return packPrompts(prompts, geometry, codes, case.integer("slots"), case.integer("batch"))
    }

    @Test
    fun `slots or the right fault`() {
        if (!case.isNull("error")) {
            val error = assertThrows(PromptException::class.java) { pack() }
            assertEquals(case.text("error"), error.fault.name.lowercase())
            return
        }
        val packed = pack()
        assertArrayEquals(case.floats("point_coords"), packed.coords, 0f)
        assertArrayEquals(case.integers("point_labels"), packed.labels)
    }

    companion object {
        @JvmStatic
        @Parameterized.Parameters(name = "{0}")
        fun cases() = SharedFixtures.cases("slots") + SharedFixtures.cases("rules_slots")
    }
}
