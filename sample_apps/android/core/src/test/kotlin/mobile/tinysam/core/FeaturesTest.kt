package mobile.tinysam.core

import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import java.nio.FloatBuffer

/** Answers features filled with 1, 2, 3 in their order, and keeps what it was given. */
private class CountingEngine(manifest: Manifest, private val outputs: List<TensorSpec> = manifest.encoderOutputs) :
    EntryPointEngine(manifest) {
    val given = HashMap<String, Map<TensorSpec, Any>>()

    override fun has(entryPoint: String) = true

    override fun run(entryPoint: String, inputs: Map<String, Any>): Map<String, FloatArray> {
        given[entryPoint] = inputsOf(entryPoint, inputs)
        val specs = if (entryPoint ==
            Contract.ENCODE
        ) {
            outputs
        } else {
            manifest.entryPoints.getValue(entryPoint).outputs
        }
        return specs.withIndex().associate { (i, spec) -> spec.name to FloatArray(spec.count) { i + 1f } }
    }

    override fun close() = Unit
}

/** A model whose encoder returns two feature maps that no code here knows by name. */
class FeaturesTest {
    private val manifest = parseManifest(
        withMaps(
            """{"name": "made_up_map", "shape": [1, 4, 6, 6], "dtype": "float32"},
               {"name": "other", "shape": [1, 2, 3, 3], "dtype": "float32"}""",
        ),
    )

    /** The shared manifest with more encoder outputs, which every decoder takes after the embedding. */
    private fun withMaps(maps: String): String {
        val embedding = Regex("""\{\s*"name": "image_embeddings"[^}]*\}""")
        val entries = listOf("\"encode\"", "\"decode\"", "\"decode_batch\"")
        var text = SharedFixtures.manifestText
        for (entry in entries) {
            val start = text.indexOf(entry, text.indexOf("\"entry_points\""))
            val place = embedding.find(text, start)!!.range.last + 1
            text = text.substring(0, place) + ", " + maps + text.substring(place)
        }
        return text
    }

    @Test
    fun `whatever the encoder returns reaches the decoder by name`() {
        val engine = CountingEngine(manifest)
        val predictor = Predictor(engine, manifest)
        val photo = predictor.encode(RgbImage(6, 4, ByteArray(72)))
        predictor.predict(photo, Prompt(listOf(PromptPoint(1.0, 2.0))))
        predictor.decodeClicks(photo, listOf(PromptPoint(1.0, 2.0)))
        assertEquals(listOf(1f, 1f, 1f), predictor.scoreClicks(photo, listOf(PromptPoint(1.0, 2.0)))[0].toList())
        val scored = engine.given.getValue(Contract.SCORE_BATCH).keys.map { it.name }
        assertEquals(
            "maps are for masks alone",
            listOf("image_embeddings", "point_coords", "point_labels"),
            scored,
        )
        assertEquals(listOf("image_embeddings", "made_up_map", "other"), manifest.encoderOutputs.map { it.name })
        for (entry in listOf(Contract.DECODE, Contract.DECODE_BATCH)) {
            val given = engine.given.getValue(entry)
            assertEquals(manifest.entryPoints.getValue(entry).inputs, given.keys.toList())
            manifest.encoderOutputs.forEachIndexed { i, spec ->
                val values = given.getValue(spec) as FloatBuffer
                assertEquals(spec.count, values.capacity())
                assertEquals("${spec.name} of $entry", i + 1f, values.get(0))
            }
        }
    }

    @Test
    fun `features go through one array and back`() {
        val specs = manifest.encoderOutputs
        val features = CountingEngine(manifest).encode(preprocess(RgbImage(2, 2, ByteArray(12)), manifest))
        val joined = features.joined(specs)
        val embedding = 64 * 8 * 8
        assertEquals(listOf(embedding + 4 * 6 * 6 + 2 * 3 * 3), ImageFeatures.joinedShape(specs))
        assertEquals(2f, joined.get(embedding))
        val array = FloatArray(joined.remaining()).also { joined.duplicate().get(it) }
        assertEquals(joined, ImageFeatures.split(array, specs).joined(specs))
        assertThrows(IllegalArgumentException::class.java) { ImageFeatures.split(FloatArray(3), specs) }
        assertEquals(listOf(64, 8, 8), ImageFeatures.joinedShape(specs.take(1)))
    }

    @Test
    fun `a model that gives fewer features than its manifest is refused`() {
        val engine = CountingEngine(manifest, outputs = manifest.encoderOutputs.take(1))
        val error = assertThrows(EngineException::class.java) {
            Predictor(engine, manifest).encode(RgbImage(2, 2, ByteArray(12)))
        }
        assertTrue(error.message!!.contains("gave no made_up_map"))
    }

    @Test
    fun `impossible features are refused`() {
        for (shape in listOf("[1, -2]", "[2147483647, 2147483647]", "[0]")) {
            val maps = """{"name": "x", "shape": $shape, "dtype": "float32"}"""
            assertThrows(shape, ManifestException::class.java) { parseManifest(withMaps(maps)) }
        }
        val twice = """{"name": "x", "shape": [1], "dtype": "float32"}"""
        assertThrows(ManifestException::class.java) { parseManifest(withMaps("$twice, $twice")) }
    }
}
