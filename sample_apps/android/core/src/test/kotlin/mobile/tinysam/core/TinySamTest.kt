package mobile.tinysam.core

import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import org.junit.After
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import java.nio.FloatBuffer
import java.util.Collections

/** The library in one object: its thread, its flow, and how a search ends. */
class TinySamTest {
    private val manifest = SharedFixtures.manifest
    private val engine = DiscEngine(manifest)
    private val sam = runBlocking { TinySam.opening { Predictor(engine, manifest) } }
    private val photo = RgbImage(41, 61, ByteArray(41 * 61 * RGB_CHANNELS))

    @After
    fun close() = sam.close()

    @Test
    fun `before the photo there is nothing to prompt`() {
        assertThrows(PromptException::class.java) { runBlocking { sam.mask(1.0, 1.0) } }
        assertThrows(PromptException::class.java) { runBlocking { sam.everything().toList() } }
    }

    @Test
    fun `a mask of a tap is the best of the prediction`() = runBlocking {
        sam.setPhoto(photo)
        val prediction = sam.predict(Prompt(listOf(PromptPoint(20.0, 20.0))))
        val mask = sam.mask(20.0, 20.0)
        assertArrayEquals(prediction.mask().pixels, mask.pixels)
        assertArrayEquals(mask.pixels, sam.mask(PromptBox(1.0, 1.0, 30.0, 30.0)).pixels)
        assertTrue(mask.area > 0)
    }

    @Test
    fun `a layer has the mask's pixels`() = runBlocking {
        sam.setPhoto(photo)
        val prediction = sam.predict(Prompt(listOf(PromptPoint(20.0, 20.0))))
        val layer = prediction.mask(inside = Mask.OPAQUE)
        assertEquals(setOf(Mask.OUTSIDE, Mask.OPAQUE), layer.pixels.toSet())
        assertEquals(1.0, prediction.mask().agreementWith(layer), 0.0)
    }

    @Test
    fun `the flow reports progress and ends with the result`() = runBlocking {
        val encoded = sam.setPhoto(photo)
        val events = sam.everything().toList()
        val settings = EverythingSettings.of(manifest)
        val expected = EverythingGenerator(Predictor(engine, manifest), settings).generate(encoded)
        val result = (events.last() as SearchEvent.Finished).result
        assertEquals(expected.objects, result.objects)
        assertTrue(events.dropLast(1).all { it is SearchEvent.Progress })
        assertTrue(result.objects.isNotEmpty())
    }

    @Test
    fun `a search that is stopped ends with what it found`() = runBlocking {
        sam.setPhoto(photo)
        var asked = 0
        val result = (sam.everything { ++asked > 2 }.toList().last() as SearchEvent.Finished).result
        assertEquals(SearchEnd.CANCELLED, result.end)
        assertEquals(2, result.decoderCalls)
        assertTrue(result.objects.isNotEmpty())
    }

    @Test
    fun `a collector that leaves ends the search`() = runBlocking {
        sam.setPhoto(photo)
        sam.everything().first()
        val calls = engine.calls
        Thread.sleep(SETTLE_MS)
        assertTrue("${engine.calls} after $calls", engine.calls <= calls + 1)
    }

    @Test
    fun `cancelling ends the search with nothing`() = runBlocking {
        sam.setPhoto(photo)
        var finished = false
        val job = launch {
            try {
                sam.everything().collect { finished = finished || it is SearchEvent.Finished }
            } catch (error: CancellationException) {
                throw error
            }
        }
        while (engine.calls == 0) Thread.yield().also { kotlinx.coroutines.yield() }
        job.cancelAndJoin()
        assertTrue(job.isCancelled || finished)
    }

    @Test
    fun `all calls are on one thread that is not the caller's`() = runBlocking {
        sam.setPhoto(photo)
        sam.mask(5.0, 5.0)
        sam.everything().toList()
        assertEquals(listOf("tinysam"), engine.threads.distinct())
    }

    @Test
    fun `a model that does not open is an error and leaves no thread`() {
        assertThrows(EngineException::class.java) {
            runBlocking { TinySam.opening { throw EngineException("no model") } }
        }
    }

    @Test
    fun `the engine is closed on its thread`() {
        sam.close()
        repeat(SETTLE_MS.toInt()) { if (!engine.isClosed) Thread.sleep(1) }
        assertTrue(engine.isClosed)
    }

    private companion object {
        const val SETTLE_MS = 200L
    }
}

/** Answers the same disc to every prompt, and notes who asked. */
private class DiscEngine(private val manifest: Manifest) : SegmentationEngine {
    val threads: MutableList<String> = Collections.synchronizedList(ArrayList())

    @Volatile
    var calls = 0

    @Volatile
    var isClosed = false

    override fun encode(image: Preprocessed): ImageFeatures {
        threads += Thread.currentThread().name.substringBefore(" @")
        return ImageFeatures.zeros(SharedFixtures.manifest.encoderOutputs)
    }

    override fun decode(features: ImageFeatures, prompt: PackedPrompts, maskInput: FloatArray?) =
        decodeBatch(features, prompt)

    override fun decodeBatch(features: ImageFeatures, prompts: PackedPrompts): DecoderAnswer {
        threads += Thread.currentThread().name.substringBefore(" @")
        calls++
        val side = manifest.sizes.maskSize
        // Steep, so that it is stable.
        val logits = FloatArray(prompts.prompts * manifest.masksPerPrompt * side * side) {
            if (it % side in 4..10 && it / side % side in 4..10) 300f else -300f
        }
        val scores = FloatArray(prompts.prompts * manifest.masksPerPrompt) { 0.95f }
        return DecoderAnswer(FloatBuffer.wrap(logits), scores, manifest.masksPerPrompt, side)
    }

    override fun close() {
        isClosed = true
    }
}
