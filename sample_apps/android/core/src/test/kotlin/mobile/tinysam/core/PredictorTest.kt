package mobile.tinysam.core

import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import java.nio.FloatBuffer

/** An engine whose logits say which mask it is, and that remembers the last mask prompt. */
private class NumberedMasks(private val scores: FloatArray) : SegmentationEngine {
    var maskInput: FloatArray? = null

    override fun encode(image: Preprocessed) = ImageFeatures.zeros(SharedFixtures.manifest.encoderOutputs)

    override fun decode(features: ImageFeatures, prompt: PackedPrompts, maskInput: FloatArray?): DecoderAnswer {
        this.maskInput = maskInput
        val side = SharedFixtures.manifest.sizes.maskSize
        val logits = FloatBuffer.allocate(scores.size * side * side)
        for (i in 0 until logits.capacity()) logits.put(i, i / (side * side) - 0.5f)
        return DecoderAnswer(logits, scores, scores.size, side)
    }

    override fun decodeBatch(features: ImageFeatures, prompts: PackedPrompts) =
        throw EngineException("this engine has no decode_batch")

    override fun close() = Unit
}

class PredictorTest {
    private val manifest = SharedFixtures.manifest
    private val engine = NumberedMasks(floatArrayOf(0.2f, 0.9f, 0.9f))
    private val predictor = Predictor(engine, manifest)
    private val photo = predictor.encode(RgbImage(6, 4, ByteArray(72)))
    private val click = Prompt(listOf(PromptPoint(1.0, 2.0)))
    private val maskCells = manifest.sizes.maskSize * manifest.sizes.maskSize

    private fun faultOf(call: () -> Unit): PromptFault = assertThrows(PromptException::class.java) { call() }.fault

    @Test
    fun `the first of the best masks is shown`() {
        val prediction = predictor.predict(photo, click)
        assertEquals(1, prediction.best)
        assertEquals(24, prediction.mask().area)
        assertEquals(0, prediction.mask(0).area)
    }

    @Test
    fun `masks are as large as the photo`() {
        val mask = predictor.predict(photo, click).mask()
        assertEquals(6 to 4, mask.height to mask.width)
    }

    @Test
    fun `a prediction refines the next one`() {
        val first = predictor.predict(photo, click)
        assertNull(engine.maskInput)
        predictor.predict(photo, click, maskInput = first.logits[first.best])
        assertArrayEquals(first.logits[first.best], engine.maskInput, 0f)
    }

    @Test
    fun `a mask prompt alone is a prompt`() {
        predictor.predict(photo, Prompt(), maskInput = FloatArray(maskCells))
        assertEquals(PromptFault.EMPTY, faultOf { predictor.predict(photo, Prompt()) })
    }

    @Test
    fun `a mask prompt of another size`() = assertEquals(
        PromptFault.MASK_INPUT,
        faultOf {
            predictor.predict(photo, click, FloatArray(maskCells - 1))
        },
    )

    @Test
    fun `a mask prompt with NaN or infinity`() {
        for (value in listOf(Float.NaN, Float.POSITIVE_INFINITY)) {
            val logits = FloatArray(maskCells).also { it[3] = value }
            assertEquals(PromptFault.MASK_INPUT, faultOf { predictor.predict(photo, click, logits) })
        }
    }

    @Test
    fun `coordinates that are not finite`() {
        assertEquals(PromptFault.NOT_FINITE, faultOf { Prompt(listOf(PromptPoint(Double.NaN, 0.0))) })
        assertEquals(
            PromptFault.NOT_FINITE,
            faultOf { Prompt(box = PromptBox(0.0, 0.0, Double.POSITIVE_INFINITY, 1.0)) },
        )
    }

    @Test
    fun `a score that is not a number is seen`() {
        assertEquals(2, bestOf(floatArrayOf(0.5f, 0.9f, Float.NaN)))
        assertEquals(0, bestOf(floatArrayOf(Float.NaN, 0.9f, Float.NaN)))
    }

    @Test
    fun `an engine's error reaches the caller`() {
        val points = listOf(PromptPoint(1.0, 1.0))
        assertThrows(EngineException::class.java) { predictor.decodeClicks(photo, points) }
    }

    @Test
    fun `logits of NaN give an empty mask`() {
        val upscaler = predictor.upscaler(photo.geometry)
        assertEquals(0, upscaler.mask(FloatArray(maskCells) { Float.NaN }).area)
    }

    @Test
    fun `an answer gives each mask its own logits`() {
        val prediction = predictor.predict(photo, click)
        assertTrue(prediction.logits[0].all { it < 0 } && prediction.logits[1].all { it > 0 })
    }
}
