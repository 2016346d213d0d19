package mobile.tinysam.app

import android.net.Uri
import androidx.lifecycle.ViewModel
import androidx.lifecycle.viewModelScope
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import mobile.tinysam.core.LabelMap
import mobile.tinysam.core.Mask
import mobile.tinysam.core.PhotoResizer
import mobile.tinysam.core.Prompt
import mobile.tinysam.core.SearchEnd
import mobile.tinysam.core.SearchEvent
import mobile.tinysam.core.TinySam
import mobile.tinysam.platform.platformResizer
import mobile.tinysam.platform.toBitmap
import mobile.tinysam.platform.toLayer
import java.io.File
import java.util.concurrent.atomic.AtomicBoolean

/** Of objects over the photo. */
private const val OBJECT_ALPHA = 140

/**
 * Holds what the screen shows and answers what its user does.
 *
 * State changes on the main thread only, at the moment of a touch; the model runs on [TinySam]'s thread, and what it
 * answers is shown if the user has not asked for something else meanwhile.
 */
class SegmentationViewModel(
    private val models: ModelSource,
    private val photos: PhotoSource,
    private val background: CoroutineDispatcher = Dispatchers.Default,
) : ViewModel() {
    private val mutableState = MutableStateFlow<SegmentationState>(SegmentationState.LoadingModel)
    val state: StateFlow<SegmentationState> = mutableState.asStateFlow()

    private val mutableChoice = MutableStateFlow(EngineChoice.LITERT_CPU)
    val choice: StateFlow<EngineChoice> = mutableChoice.asStateFlow()

    private val mutableDump = MutableStateFlow<File?>(null)

    /** A dump that waits to be shared; null after [dumpWasShared]. */
    val dump: StateFlow<File?> = mutableDump.asStateFlow()

    private val mutableUsesPlatformResize = MutableStateFlow(false)

    /** Whether photos are resized by Android: faster, and the masks differ from the host's. */
    val usesPlatformResize: StateFlow<Boolean> = mutableUsesPlatformResize.asStateFlow()

    /** Whether the app carries fixtures to replay. */
    val canReplay: Boolean by lazy { models.hasFixtures }

    private var model: OpenModel? = null

    /** The one thing that runs: another one ends it. */
    private var work: Job? = null
    private val isStopped = AtomicBoolean()

    init {
        loadModel(choice.value)
    }

    /** Opens another engine; the photo stays. */
    fun loadModel(choice: EngineChoice) {
        val photo = photoOf(state.value)
        mutableChoice.value = choice
        start(SegmentationState.LoadingModel, { SegmentationState.NoModel(it) }) {
            model?.sam?.close()
            model = null
            val opened = models.open(choice)
            model = opened
            if (photo == null) mutableState.value = SegmentationState.NoPhoto(opened.notice)
            if (photo != null) encode(photo, opened.notice)
        }
    }

    /** Holds for photos that are opened from now on. */
    fun usePlatformResize(isWanted: Boolean) {
        mutableUsesPlatformResize.value = isWanted
    }

    fun open(uri: Uri) {
        if (model == null) return
        val before = withoutNotice(state.value)
        start(before, { noticed(before, it) }) { encode(withContext(background) { photos.load(uri) }, null) }
    }

    private suspend fun encode(photo: LoadedPhoto, notice: Notice?) {
        val sam = model?.sam ?: return
        mutableState.value = SegmentationState.EncodingPhoto(photo)
        val resizer = if (usesPlatformResize.value) platformResizer else null
        val (encoded, encodeMs) = timed { sam.setPhoto(photo.rows, resizer) }
        mutableState.value =
            SegmentationState.Prompting(ReadyPhoto(photo, encoded, encodeMs), notice = notice)
    }

    /** A tap adds a point; a drag replaces the box.  What was tapped while a decode runs is not lost. */
    fun onGesture(gesture: Gesture) {
        val current = state.value as? SegmentationState.Prompting ?: return
        val prompt =
            when (gesture) {
                is Gesture.Tap -> current.prompt.copy(points = current.prompt.points + gesture.point)
                is Gesture.Drag -> current.prompt.copy(box = gesture.box)
            }
        val manifest = model?.sam?.manifest ?: return
        val slots = manifest.rules.fixedPoints.takeIf { it > 0 } ?: manifest.sizes.slots
        if (prompt.slots(manifest.rules) > slots) {
            mutableState.value = current.copy(notice = Notice.Known(R.string.prompt_full, listOf(slots)))
            return
        }
        ask(current.copy(prompt = prompt, earlier = current.earlier + current.prompt, notice = null))
    }

    /** Takes the last point or box back. */
    fun undo() {
        val current = state.value as? SegmentationState.Prompting ?: return
        val prompt = current.earlier.lastOrNull() ?: return
        val back = current.copy(prompt = prompt, earlier = current.earlier.dropLast(1), notice = null)
        if (!prompt.isEmpty) return ask(back)
        work?.cancel()
        mutableState.value = back.copy(answer = null)
    }

    /** Asks again with the mask itself as a prompt. */
    fun refine() {
        val current = state.value as? SegmentationState.Prompting ?: return
        val prediction = current.answer?.prediction ?: return
        ask(current.copy(notice = null), maskInput = prediction.logits[prediction.best])
    }

    /** Back to the photo without prompts or objects. */
    fun clear() {
        work?.cancel()
        val photo = readyPhotoOf(state.value) ?: return
        mutableState.value = SegmentationState.Prompting(photo)
    }

    /** Decodes the prompt of `asked`, which is shown at once. */
    private fun ask(asked: SegmentationState.Prompting, maskInput: FloatArray? = null) {
        start(asked, { asked.copy(notice = it) }) {
            val sam = model?.sam ?: return@start
            val (prediction, decodeMs) = timed { sam.predict(asked.prompt, maskInput) }
            val (mask, postprocessMs) = timed {
                withContext(background) { prediction.mask(inside = Mask.OPAQUE).toLayer() }
            }
            mutableState.value = asked.copy(answer = Answer(prediction, mask, decodeMs, postprocessMs))
        }
    }

    fun findEverything() {
        val current = state.value as? SegmentationState.Prompting ?: return
        val photo = current.photo
        isStopped.set(false)
        start(SegmentationState.Searching(photo), { current.copy(notice = it) }) {
            val sam = model?.sam ?: return@start
            val start = System.nanoTime()
            sam.everything(isStopped = isStopped::get).collect { event ->
                mutableState.value =
                    when (event) {
                        is SearchEvent.Progress -> SegmentationState.Searching(photo, event.progress)
                        is SearchEvent.Finished -> found(photo, event, millisecondsSince(start))
                    }
            }
        }
    }

    private suspend fun found(
        photo: ReadyPhoto,
        event: SearchEvent.Finished,
        searchMs: Double,
    ): SegmentationState {
        val result = event.result
        val geometry = photo.encoded.geometry
        val picture = withContext(background) {
            LabelMap.of(result.objects, geometry.height, geometry.width).toBitmap(OBJECT_ALPHA)
        }
        val stoppedEarly = result.end != SearchEnd.COMPLETE
        return SegmentationState.Found(photo, picture, result.objects.size, stoppedEarly, searchMs)
    }

    /** Ends everything mode; what it found so far is shown. */
    fun cancel() {
        isStopped.set(true)
    }

    /** Runs the photo on every engine; the one that was chosen is opened again at the end. */
    fun compareEngines() {
        val photo = readyPhotoOf(state.value) ?: return
        start(SegmentationState.Comparing(photo, emptyList()), { SegmentationState.NoModel(it) }) {
            model?.sam?.close()
            model = null
            Comparison(models).run(photo.loaded) { mutableState.value = SegmentationState.Comparing(photo, it) }
            val opened = models.open(choice.value)
            model = opened
            opened.sam.setPhoto(photo.loaded.rows)
            val last = state.value as? SegmentationState.Comparing ?: return@start
            mutableState.value = last.copy(isDone = true)
        }
    }

    /** Replays the fixtures in the app and offers the dump for sharing. */
    fun recordDump() {
        val opened = model ?: return
        start(SegmentationState.Replaying(done = 0, total = 0), { SegmentationState.NoPhoto(it) }) {
            mutableDump.value =
                models.recordDump(opened) { done, total ->
                    mutableState.value = SegmentationState.Replaying(done, total)
                }
            mutableState.value = SegmentationState.NoPhoto()
        }
    }

    fun dumpWasShared() {
        mutableDump.value = null
    }

    /** Something outside the model went wrong, such as a phone without a camera app. */
    fun tell(notice: Notice) {
        mutableState.value = noticed(state.value, notice)
    }

    override fun onCleared() {
        model?.sam?.close()
    }

    /**
     * Shows `next`, ends what ran before and runs `body`; what goes wrong is shown as `failed` says.
     *
     * A job that was ended can show nothing any more: it is cancelled on the thread on which it would.
     */
    private fun start(next: SegmentationState, failed: (Notice) -> SegmentationState, body: suspend () -> Unit) {
        work?.cancel()
        mutableState.value = next
        work = viewModelScope.launch {
            try {
                body()
            } catch (error: CancellationException) {
                throw error
            } catch (@Suppress("TooGenericExceptionCaught") error: Throwable) {
                mutableState.value = failed(noticeOf(error))
            }
        }
    }

    private fun noticed(state: SegmentationState, notice: Notice): SegmentationState = when (state) {
        is SegmentationState.Prompting -> state.copy(notice = notice)

        is SegmentationState.NoModel -> SegmentationState.NoModel(notice)

        else -> readyPhotoOf(state)?.let { SegmentationState.Prompting(it, notice = notice) }
            ?: SegmentationState.NoPhoto(notice)
    }

    private fun withoutNotice(state: SegmentationState): SegmentationState =
        if (state is SegmentationState.NoPhoto) SegmentationState.NoPhoto() else state

    private fun photoOf(state: SegmentationState): LoadedPhoto? =
        (state as? SegmentationState.EncodingPhoto)?.photo ?: readyPhotoOf(state)?.loaded

    private fun readyPhotoOf(state: SegmentationState): ReadyPhoto? = when (state) {
        is SegmentationState.Prompting -> state.photo
        is SegmentationState.Searching -> state.photo
        is SegmentationState.Found -> state.photo
        is SegmentationState.Comparing -> state.photo
        else -> null
    }
}

private const val NANOSECONDS_PER_MS = 1e6

internal fun millisecondsSince(start: Long): Double = (System.nanoTime() - start) / NANOSECONDS_PER_MS

/** The result of `call` and the milliseconds that it took. */
internal inline fun <T> timed(call: () -> T): Pair<T, Double> {
    val start = System.nanoTime()
    val result = call()
    return result to millisecondsSince(start)
}
