package mobile.tinysam.core

import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

class ManifestTest {
    private val text = SharedFixtures.manifestText
    private val manifest = SharedFixtures.manifest

    /** The message with which the manifest is refused when `old` (a regular expression) is `new` in it. */
    private fun refusal(old: String, new: String): String {
        val changed = text.replaceFirst(Regex(old), new)
        check(changed != text) { "$old is not in the manifest" }
        return assertThrows(ManifestException::class.java) { parseManifest(changed) }.message.orEmpty()
    }

    /** The same for a rule, which the model's configuration repeats. */
    private fun refusalOfRule(old: String, new: String): String {
        val changed = text.replace(Regex(old), new)
        check(changed != text) { "$old is not in the manifest" }
        return assertThrows(ManifestException::class.java) { parseManifest(changed) }.message.orEmpty()
    }

    private fun assertNames(field: String, message: String) =
        assertTrue("'$message' does not name $field", field in message)

    @Test
    fun `sizes, thresholds and labels`() {
        assertEquals(ModelSizes(128, 8, 32, 64, 8, 16, 64), manifest.sizes)
        assertEquals(3, manifest.masksPerPrompt)
        assertEquals(0.88, manifest.everything.predIouThresh, 0.0)
        assertEquals(PromptLabels(-2, -1, 0, 1, 2, 3), manifest.labels)
        assertEquals(15, manifest.search.offsets.size)
    }

    @Test
    fun `everything mode takes its thresholds from the manifest`() {
        val settings = EverythingSettings.of(manifest)
        assertEquals(manifest.everything.highScoreThresh, settings.highScoreThresh, 0.0)
        assertEquals(manifest.everything.pointsPerSide, settings.pointsPerSide)
        assertEquals(manifest.search.cropNmsThresh, settings.cropNmsThresh, 0.0)
    }

    @Test
    fun `runtimes and rules of the fast mode`() {
        assertEquals("2.3.0", manifest.runtimes["tflite"])
        assertEquals(0.05, manifest.search.fast.nearIouSlack, 0.0)
        assertEquals(listOf(0.97, 0.9, 0.8), manifest.search.fast.duplicateIous)
    }

    @Test
    fun `no JSON`() = assertNames("not valid JSON", refusal("^\\{", "{{"))

    @Test
    fun `cut off`() {
        val cut = text.substring(0, text.length / 2)
        assertThrows(ManifestException::class.java) { parseManifest(cut) }
    }

    @Test
    fun empty() {
        assertThrows(ManifestException::class.java) { parseManifest("") }
    }

    @Test
    fun `a list`() {
        assertThrows(ManifestException::class.java) { parseManifest("[]") }
    }

    @Test
    fun `another schema version`() =
        assertNames("version 2", refusal("\"schema_version\": 1", "\"schema_version\": 2"))

    @Test
    fun `a size that is missing`() = assertNames("image_size", refusal("\"image_size\": 128,\n *\"grid", "\"grid"))

    @Test
    fun `a size that is not positive`() = assertNames("slots", refusal("\"slots\": 8", "\"slots\": 0"))

    @Test
    fun `a size that is no integer`() = assertNames("batch", refusal("\"batch\": 16", "\"batch\": 16.5"))

    @Test
    fun `a size beyond reason`() =
        assertNames("image_size", refusal("(\"sizes\": \\{\\s*\"image_size\": )128", "$1 2000000000"))

    @Test
    fun `masks larger than the image`() =
        assertNames("mask_size", refusal("\"mask_size\": 32", "\"mask_size\": 256"))

    @Test
    fun `tensors that contradict the sizes`() =
        assertNames("outputs", refusal("\"channels\": 64", "\"channels\": 32"))

    @Test
    fun `normalisation outside the graph`() =
        assertNames("normalised_by", refusal("\"normalised_by\": \"graph\"", "\"normalised_by\": \"app\""))

    @Test
    fun `another colour order`() = assertNames("colour", refusal("\"colour\": \"RGB\"", "\"colour\": \"BGR\""))

    @Test
    fun `rules that no one knows`() {
        assertNames("resize", refusalOfRule("\"resize\": \"longest_side\"", "\"resize\": \"mirror\""))
        assertNames("selection", refusalOfRule("\"selection\": \"predicted_iou\"", "\"selection\": \"first\""))
        assertNames("num_masks", refusalOfRule("\"num_masks\": 3", "\"num_masks\": 0"))
        assertNames("outputs", refusalOfRule("\"num_masks\": 3", "\"num_masks\": 4"))
        assertNames("slots", refusalOfRule("\"fixed_points\": 0", "\"fixed_points\": 9"))
        assertNames(
            "upscale_filter",
            refusalOfRule("\"upscale_filter\": \"bilinear\"", "\"upscale_filter\": \"bicubic\""),
        )
        assertNames("antialias", refusalOfRule("\"antialias\": true", "\"antialias\": false"))
        assertNames("inputs", refusalOfRule("\"mask_prompts\": true", "\"mask_prompts\": false"))
    }

    @Test
    fun `a threshold that is text`() =
        assertNames("pred_iou_thresh", refusal("\"pred_iou_thresh\": 0.88", "\"pred_iou_thresh\": \"high\""))

    @Test
    fun `a threshold that is no JSON number`() =
        assertNames("not valid JSON", refusal("\"pred_iou_thresh\": 0.88", "\"pred_iou_thresh\": NaN"))

    @Test
    fun `a threshold beyond double`() =
        assertNames("pred_iou_thresh", refusal("\"pred_iou_thresh\": 0.88", "\"pred_iou_thresh\": 1e999"))

    @Test
    fun `a label without a number`() = assertNames("unused", refusal("\"unused\": -2", "\"unused\": null"))

    @Test
    fun `an artifact outside the bundle`() {
        assertNames("path", refusal("tflite/fp32/encoder.tflite", "../encoder.tflite"))
        assertNames("path", refusal("tflite/fp32/encoder.tflite", "/encoder.tflite"))
    }

    @Test
    fun `a hash that is none`() = assertNames("sha256", refusal("0{63}2", "0"))

    @Test
    fun `an artifact's own names of entry points`() {
        val decoder = manifest.artifact("tflite", "decoder")
        assertEquals("decode_batch", decoder.entryPoint(Contract.DECODE_BATCH))
        assertThrows(ManifestException::class.java) { decoder.entryPoint(Contract.ENCODE) }
    }

    @Test
    fun `an artifact that is not there`() {
        val error = assertThrows(ManifestException::class.java) { manifest.artifact("onnx", "encoder") }
        assertNames("bundle-for-app", error.message.orEmpty())
    }
}
