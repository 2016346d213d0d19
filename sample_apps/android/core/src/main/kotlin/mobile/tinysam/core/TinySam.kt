package mobile.tinysam.core

import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.DelicateCoroutinesApi
import kotlinx.coroutines.ExecutorCoroutineDispatcher
import kotlinx.coroutines.asCoroutineDispatcher
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.channelFlow
import kotlinx.coroutines.isActive
import kotlinx.coroutines.withContext
import java.util.concurrent.Executors
import java.util.concurrent.atomic.AtomicBoolean

/** What a search reports: how far it is, and once, at its end, what it found. */
sealed interface SearchEvent {
    data class Progress(val progress: SearchProgress) : SearchEvent

    data class Finished(val result: EverythingResult) : SearchEvent
}

/**
 * The library in one object: a model, one photo at a time, masks for clicks, and everything on the photo.
 *
 * ```
 * val sam = TinySam.open(context, LiteRt())
 * sam.setPhoto(BitmapRows(bitmap))
 * val mask = sam.mask(x = 320.0, y = 240.0)
 * sam.everything().collect { event -> … }
 * sam.close()
 * ```
 *
 * Calls suspend, may come from any thread, and run one after the other on a thread of this object's own: an engine's
 * calls must not overlap, and a GPU's belong to the thread that made it.  Functions throw [TinySamException]s.
 */
class TinySam private constructor(val predictor: Predictor, private val worker: ExecutorCoroutineDispatcher) :
    AutoCloseable {
    /** Where the model runs; for work that must come between its calls. */
    val dispatcher: CoroutineDispatcher get() = worker

    val manifest: Manifest get() = predictor.manifest

    private var photo: EncodedPhoto? = null
    private var upscaler: MaskUpscaler? = null
    private val isClosed = AtomicBoolean()

    /** Encodes a photo, which takes most of the time; masks are then of this one. */
    suspend fun setPhoto(rows: RgbRows, resizer: PhotoResizer? = null): EncodedPhoto =
        withContext(worker) { predictor.encode(rows, resizer).also(::take) }

    /** Comes back to a photo that [setPhoto] returned, without encoding it again. */
    suspend fun setPhoto(encoded: EncodedPhoto) = withContext(worker) { take(encoded) }

    private fun take(encoded: EncodedPhoto) {
        photo = encoded
        upscaler = predictor.upscaler(encoded.geometry)
    }

    /** The mask of the object at `x`, `y`, in pixels of the photo. */
    suspend fun mask(x: Double, y: Double): Mask = predict(Prompt(listOf(PromptPoint(x, y)))).mask()

    /** The mask of the object in a box, in pixels of the photo. */
    suspend fun mask(box: PromptBox): Mask = predict(Prompt(box = box)).mask()

    /** The masks of one prompt; `maskInput` are `logits` of an earlier prediction, to refine it. */
    suspend fun predict(prompt: Prompt, maskInput: FloatArray? = null): Prediction = withContext(worker) {
        predictor.predict(current(), prompt, maskInput, upscaler ?: predictor.upscaler(current().geometry))
    }

    /** One object for each of a detector's boxes in pixels of the photo, in their order. */
    suspend fun objects(boxes: List<PromptBox>): List<SegmentedObject> = withContext(worker) {
        objectsFromBoxes(predictor, current(), boxes)
    }

    /**
     * Every object of the photo, searched while the flow is collected.
     *
     * Cancelling the collector ends the search before its next decoder call, with nothing; where `isStopped` says so
     * it ends with what was found.  Settings with crops need `rows`, the photo itself; without crops it is encoded anew.
     */
    fun everything(
        settings: EverythingSettings = EverythingSettings.of(manifest),
        rows: RgbRows? = null,
        isStopped: () -> Boolean = { false },
    ): Flow<SearchEvent> = channelFlow {
        withContext(worker) {
            val search =
                EverythingGenerator(
                    predictor = predictor,
                    settings = settings,
                    progress = { trySend(SearchEvent.Progress(it)) },
                    isCancelled = { isStopped() || !isActive },
                )
            val found = if (rows == null) search.generate(current()) else search.generate(rows)
            send(SearchEvent.Finished(found))
        }
    }

    /** Waits for a call that runs, frees the model and ends the thread; a second time it does nothing. */
    override fun close() {
        if (isClosed.getAndSet(true)) return
        worker.executor.execute { predictor.engine.close() }
        // Takes no more work, and does what was given to it.
        worker.close()
    }

    private fun current(): EncodedPhoto = photo ?: throw PromptException(
        PromptFault.EMPTY,
        "there is no photo: call setPhoto before the first prompt",
    )

    companion object {
        /** Calls `open` on the thread on which the model will run. */
        @OptIn(DelicateCoroutinesApi::class)
        suspend fun opening(open: () -> Predictor): TinySam {
            val worker = Executors.newSingleThreadExecutor { Thread(it, "tinysam") }.asCoroutineDispatcher()
            try {
                return TinySam(withContext(worker) { open() }, worker)
            } catch (@Suppress("TooGenericExceptionCaught") error: Throwable) {
                worker.close()
                throw error
            }
        }
    }
}
