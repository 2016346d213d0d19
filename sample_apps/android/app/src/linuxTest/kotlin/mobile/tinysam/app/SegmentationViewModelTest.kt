package mobile.tinysam.app

import android.graphics.Bitmap
import android.net.Uri
import androidx.lifecycle.mainThread
import kotlinx.coroutines.delay
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withContext
import kotlinx.coroutines.withTimeout
import mobile.tinysam.core.DecoderAnswer
import mobile.tinysam.core.EngineException
import mobile.tinysam.core.ImageFeatures
import mobile.tinysam.core.Manifest
import mobile.tinysam.core.PackedPrompts
import mobile.tinysam.core.Predictor
import mobile.tinysam.core.Preprocessed
import mobile.tinysam.core.PromptPoint
import mobile.tinysam.core.RgbImage
import mobile.tinysam.core.SegmentationEngine
import mobile.tinysam.core.TinySam
import mobile.tinysam.core.parseManifest
import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertSame
import org.junit.Assert.assertTrue
import org.junit.Test
import java.io.File
import java.io.FileNotFoundException
import java.io.IOException
import java.nio.FloatBuffer
import java.util.Collections
import java.util.concurrent.CountDownLatch

/**
 * The states of the app, on Linux: the view model as it is, on an engine that answers when it is told to.
 *
 * It is compiled against tests/app_stubs, whose main thread is one of its own.
 */
class SegmentationViewModelTest {
    private val models = FakeModels()
    private var photoSource = PhotoSource { LoadedPhoto(RgbImage(20, 30, ByteArray(20 * 30 * 3)), Bitmap(30, 20)) }
    private val viewModel by lazy { SegmentationViewModel(models, { photoSource.load(it) }) }

    @After
    fun end() {
        models.engine.gate.countDown()
        viewModel.end()
    }

    private fun <T> onMain(action: () -> T): T = runBlocking { withContext(mainThread) { action() } }

    private inline fun <reified S : SegmentationState> await(crossinline isRight: (S) -> Boolean = { true }): S =
        runBlocking {
            withTimeout(TIMEOUT_MS) {
                while (true) {
                    val state = viewModel.state.value
                    if (state is S && isRight(state)) return@withTimeout state
                    delay(1)
                }
                error("never")
            }
        }

    private fun openPhoto(): SegmentationState.Prompting {
        await<SegmentationState.NoPhoto>()
        onMain { viewModel.open(object : Uri() {}) }
        return await()
    }

    private fun tap(x: Int = 5) = onMain { viewModel.onGesture(Gesture.Tap(PromptPoint(x.toDouble(), 5.0))) }

    @Test
    fun `a tap is in the prompt at once, and its mask follows`() {
        openPhoto()
        models.engine.hold()
        tap(5)
        val asked = viewModel.state.value as SegmentationState.Prompting
        assertEquals(listOf(PromptPoint(5.0, 5.0)), asked.prompt.points)
        assertNull(asked.answer)
        models.engine.release()
        assertEquals(asked.prompt, await<SegmentationState.Prompting> { it.answer != null }.prompt)
    }

    @Test
    fun `taps are not lost while a decode runs`() {
        openPhoto()
        models.engine.hold()
        tap(5)
        tap(6)
        tap(7)
        models.engine.release()
        val state = await<SegmentationState.Prompting> { it.answer != null }
        assertEquals(listOf(5.0, 6.0, 7.0), state.prompt.points.map { it.x })
        Thread.sleep(SETTLE_MS)
        assertEquals(3, (viewModel.state.value as SegmentationState.Prompting).prompt.points.size)
    }

    @Test
    fun `a decode that was waiting does not end the search`() {
        openPhoto()
        models.engine.hold()
        tap(5)
        onMain { viewModel.findEverything() }
        assertTrue(viewModel.state.value is SegmentationState.Searching)
        models.engine.release()
        await<SegmentationState.Found>()
        Thread.sleep(SETTLE_MS)
        assertTrue(viewModel.state.value is SegmentationState.Found)
    }

    @Test
    fun `a search that is stopped shows what it found`() {
        openPhoto()
        models.engine.hold()
        onMain {
            viewModel.findEverything()
            viewModel.cancel()
        }
        models.engine.release()
        assertTrue(await<SegmentationState.Found>().stoppedEarly)
    }

    @Test
    fun `a tap too many is refused in words, and can be taken back`() {
        openPhoto()
        repeat(7) {
            tap(it)
            await<SegmentationState.Prompting> { it.answer != null }
        }
        tap(8)
        val full = await<SegmentationState.Prompting> { it.notice != null }
        assertEquals(Notice.Known(R.string.prompt_full, listOf(8)), full.notice)
        assertEquals(7, full.prompt.points.size)
        onMain { viewModel.undo() }
        assertEquals(6, await<SegmentationState.Prompting> { it.notice == null }.prompt.points.size)
        tap(9)
        assertEquals(7, await<SegmentationState.Prompting> { it.answer != null }.prompt.points.size)
    }

    @Test
    fun `undo of the first tap leaves the photo`() {
        openPhoto()
        tap()
        await<SegmentationState.Prompting> { it.answer != null }
        onMain { viewModel.undo() }
        val state = viewModel.state.value as SegmentationState.Prompting
        assertTrue(state.prompt.isEmpty && state.answer == null && state.earlier.isEmpty())
    }

    @Test
    fun `another engine keeps the photo`() {
        val photo = openPhoto().photo.loaded
        onMain { viewModel.loadModel(EngineChoice.EXECUTORCH) }
        val state = await<SegmentationState.Prompting> { it.photo.loaded === photo }
        assertSame(photo, state.photo.loaded)
        assertEquals(listOf(EngineChoice.LITERT_CPU, EngineChoice.EXECUTORCH), models.opened.toList())
    }

    private fun noticeAfter(error: Throwable): Notice? {
        await<SegmentationState.NoPhoto>()
        photoSource = PhotoSource { throw error }
        onMain { viewModel.open(object : Uri() {}) }
        return await<SegmentationState.NoPhoto> { it.notice != null }.notice
    }

    @Test
    fun `a photo that is gone`() =
        assertEquals(Notice.Known(R.string.photo_gone), noticeAfter(FileNotFoundException("gone")))

    @Test
    fun `a photo that is not allowed any more`() =
        assertEquals(Notice.Known(R.string.photo_gone), noticeAfter(SecurityException("no grant")))

    @Test
    fun `a disk that is full`() =
        assertEquals(Notice.Known(R.string.disk_trouble, listOf("ENOSPC")), noticeAfter(IOException("ENOSPC")))

    @Test
    fun `too little memory`() =
        assertEquals(Notice.Known(R.string.out_of_memory), noticeAfter(OutOfMemoryError("48 MP")))

    @Test
    fun `a runtime without a library for this phone`() {
        await<SegmentationState.NoPhoto>()
        models.problem = UnsatisfiedLinkError("libexecutorch.so")
        onMain { viewModel.loadModel(EngineChoice.EXECUTORCH) }
        val state = await<SegmentationState.NoModel>()
        assertEquals(Notice.Known(R.string.no_native_library), state.reason)
    }

    @Test
    fun `a decoder that fails keeps photo and prompt`() {
        openPhoto()
        models.engine.failure = EngineException("the GPU is gone")
        tap()
        val state = await<SegmentationState.Prompting> { it.notice != null }
        assertEquals(Notice.Said("the GPU is gone"), state.notice)
        assertEquals(1, state.prompt.points.size)
    }

    @Test
    fun `a phone without a camera`() {
        val before = openPhoto()
        onMain { viewModel.tell(Notice.Known(R.string.no_camera)) }
        val state = viewModel.state.value as SegmentationState.Prompting
        assertSame(before.photo, state.photo)
        assertEquals(Notice.Known(R.string.no_camera), state.notice)
    }

    @Test
    fun `without fixtures there is no dump to share`() {
        models.hasFixtures = false
        assertTrue(!viewModel.canReplay)
    }

    @Test
    fun `the model runs on one thread, whatever asks it`() {
        openPhoto()
        repeat(3) {
            tap(it)
            await<SegmentationState.Prompting> { it.answer != null }
        }
        onMain { viewModel.findEverything() }
        await<SegmentationState.Found>()
        assertEquals(1, models.engine.threads.size)
    }

    @Test
    fun `a comparison has a row for every engine, and ends with the chosen one`() {
        openPhoto()
        models.failing = EngineChoice.LITERT_NPU
        onMain { viewModel.compareEngines() }
        val state = await<SegmentationState.Comparing> { it.isDone }
        assertEquals(EngineChoice.entries, state.rows.map { it.choice })
        for (row in state.rows) {
            if (row.choice == EngineChoice.LITERT_NPU) {
                assertEquals(Notice.Said("no NPU"), row.problem)
            } else {
                assertEquals(1.0, row.times!!.agreement, 0.0)
            }
        }
        assertEquals(viewModel.choice.value, models.opened.last())
        onMain { viewModel.clear() }
        tap()
        await<SegmentationState.Prompting> { it.answer != null }
    }

    private companion object {
        const val TIMEOUT_MS = 20_000L
        const val SETTLE_MS = 50L
    }
}

/** Models on an engine without a model. */
class FakeModels : ModelSource {
    override var hasFixtures = true
    var problem: Throwable? = null
    var failing: EngineChoice? = null
    val opened: MutableList<EngineChoice> = Collections.synchronizedList(ArrayList())
    private val manifest = parseManifest(File("tests/golden/apps/manifest.json").readText())
    val engine = HeldEngine(manifest)

    override suspend fun open(choice: EngineChoice): OpenModel {
        problem?.let { throw it }
        if (choice == failing) throw EngineException("no NPU")
        opened += choice
        return OpenModel(TinySam.opening { Predictor(engine, manifest) }, choice, loadMs = 1.0, notice = null)
    }

    override suspend fun recordDump(model: OpenModel, progress: (Int, Int) -> Unit): File = File("dump.zip")

    override fun thermalStatus() = "none"
}

/** Answers a disc to every prompt, when it is let. */
class HeldEngine(private val manifest: Manifest) : SegmentationEngine {
    @Volatile
    var gate = CountDownLatch(0)

    @Volatile
    var failure: EngineException? = null
    val threads: MutableSet<Thread> = Collections.synchronizedSet(HashSet())

    fun hold() {
        gate = CountDownLatch(1)
    }

    fun release() = gate.countDown()

    override fun encode(image: Preprocessed): ImageFeatures {
        threads += Thread.currentThread()
        return ImageFeatures.zeros(manifest.encoderOutputs)
    }

    override fun decode(features: ImageFeatures, prompt: PackedPrompts, maskInput: FloatArray?) =
        decodeBatch(features, prompt)

    override fun decodeBatch(features: ImageFeatures, prompts: PackedPrompts): DecoderAnswer {
        threads += Thread.currentThread()
        gate.await()
        failure?.let { throw it }
        val side = manifest.sizes.maskSize
        val logits = FloatArray(prompts.prompts * manifest.masksPerPrompt * side * side) {
            if (it % side in 4..10 && it / side % side in 4..10) 9f else -9f
        }
        val scores = FloatArray(prompts.prompts * manifest.masksPerPrompt) { 0.95f }
        return DecoderAnswer(FloatBuffer.wrap(logits), scores, manifest.masksPerPrompt, side)
    }

    override fun close() = Unit
}
