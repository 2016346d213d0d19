package mobile.tinysam.app

import android.graphics.Color
import android.net.Uri
import androidx.lifecycle.ViewModel
import androidx.lifecycle.viewModelScope
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.ExperimentalCoroutinesApi
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.isActive
import kotlinx.coroutines.launch
import mobile.tinysam.core.EverythingGenerator
import mobile.tinysam.core.EverythingSettings
import mobile.tinysam.core.LabelMap
import mobile.tinysam.core.PhotoResizer
import mobile.tinysam.core.Predictor
import mobile.tinysam.core.Prompt
import mobile.tinysam.core.SearchEnd
import mobile.tinysam.core.TinySamException
import mobile.tinysam.core.resizeBilinear
import mobile.tinysam.platform.EngineChoice
import mobile.tinysam.platform.platformResizer
import mobile.tinysam.platform.toBitmap
import java.io.File
import java.util.concurrent.atomic.AtomicBoolean

/** Of masks over the photo. */
private const val MASK_ALPHA = 140
private val MASK_COLOUR = Color.argb(MASK_ALPHA, 30, 144, 255)

/**
 * Holds what the screen shows and answers what its user does.
 *
 * The model runs on one background thread, because its calls block and must not overlap.
 */
@OptIn(ExperimentalCoroutinesApi::class)
class SegmentationViewModel(
    private val models: Models,
    private val photos: PhotoLoader,
    private val worker: CoroutineDispatcher = Dispatchers.Default.limitedParallelism(1),
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

    /** Touched by the worker only. */
    private var predictor: Predictor? = null
    private val isCancelled = AtomicBoolean()

    init {
        loadModel(choice.value)
    }

    fun loadModel(choice: EngineChoice) {
        mutableChoice.value = choice
        start(SegmentationState.LoadingModel) {
            predictor?.engine?.close()
            predictor = null
            predictor = models.open(choice)
            mutableState.value = SegmentationState.NoPhoto()
        }
    }

    /** Holds for photos that are opened from now on. */
    fun usePlatformResize(isWanted: Boolean) {
        mutableUsesPlatformResize.value = isWanted
    }

    fun open(uri: Uri) {
        val resizer = if (usesPlatformResize.value) platformResizer else PhotoResizer(::resizeBilinear)
        withModel(next = null) { predictor ->
            val (rows, shown) = photos.load(uri)
            mutableState.value = SegmentationState.EncodingPhoto(shown)
            val (encoded, encodeMs) = timed { predictor.encode(rows, resizer) }
            val photo = ReadyPhoto(shown, encoded, predictor.upscaler(encoded.geometry), encodeMs)
            mutableState.value = SegmentationState.Prompting(photo)
        }
    }

    /** A tap adds a point; a drag replaces the box. */
    fun onGesture(gesture: Gesture) {
        val current = state.value as? SegmentationState.Prompting ?: return
        val prompt =
            when (gesture) {
                is Gesture.Tap -> current.prompt.copy(points = current.prompt.points + gesture.point)
                is Gesture.Drag -> current.prompt.copy(box = gesture.box)
            }
        predict(current, prompt, maskInput = null)
    }

    /** Asks again with the mask itself as a prompt. */
    fun refine() {
        val current = state.value as? SegmentationState.Prompting ?: return
        val prediction = current.answer?.prediction ?: return
        predict(current, current.prompt, maskInput = prediction.logits[prediction.best])
    }

    /** Back to the photo without prompts or objects. */
    fun clear() {
        when (val current = state.value) {
            is SegmentationState.Prompting -> mutableState.value = SegmentationState.Prompting(current.photo)
            is SegmentationState.Found -> mutableState.value = SegmentationState.Prompting(current.photo)
            else -> Unit
        }
    }

    fun findEverything() {
        val current = state.value as? SegmentationState.Prompting ?: return
        val photo = current.photo
        isCancelled.set(false)
        withModel(SegmentationState.Searching(photo)) { predictor ->
            val search =
                EverythingGenerator(
                    predictor = predictor,
                    settings = EverythingSettings.of(predictor.manifest),
                    progress = { mutableState.value = SegmentationState.Searching(photo, it) },
                    isCancelled = { isCancelled.get() || !isActive },
                )
            val (result, searchMs) = timed { search.generate(photo.encoded) }
            val map = LabelMap.of(result.objects, photo.encoded.geometry.height, photo.encoded.geometry.width)
            val stoppedEarly = result.end != SearchEnd.COMPLETE
            mutableState.value =
                SegmentationState.Found(
                    photo,
                    map.toBitmap(MASK_ALPHA),
                    result.objects.size,
                    stoppedEarly,
                    searchMs,
                )
        }
    }

    /** Ends everything mode; what it found so far is shown. */
    fun cancel() {
        isCancelled.set(true)
    }

    /** Replays the fixtures in the app and offers the dump for sharing. */
    fun recordDump() {
        withModel(SegmentationState.Replaying(done = 0, total = 0)) { predictor ->
            mutableDump.value =
                models.recordDump(predictor, choice.value) { done, total ->
                    mutableState.value = SegmentationState.Replaying(done, total)
                }
            mutableState.value = SegmentationState.NoPhoto()
        }
    }

    fun dumpWasShared() {
        mutableDump.value = null
    }

    override fun onCleared() {
        // On the worker, after a call that may still run there: the view model's own scope is cancelled by now.
        CoroutineScope(worker).launch { predictor?.engine?.close() }
    }

    private fun predict(current: SegmentationState.Prompting, prompt: Prompt, maskInput: FloatArray?) {
        withModel(next = null) { predictor ->
            val photo = current.photo
            val (prediction, decodeMs) = timed {
                predictor.predict(photo.encoded, prompt, maskInput, photo.upscaler)
            }
            val (mask, postprocessMs) = timed { prediction.mask() }
            val answer = Answer(prediction, mask.toBitmap(MASK_COLOUR), decodeMs, postprocessMs)
            mutableState.value = current.copy(prompt = prompt, answer = answer, notice = null)
        }
    }

    private fun withModel(next: SegmentationState?, work: CoroutineScope.(Predictor) -> Unit) =
        start(next) { predictor?.let { work(it) } }

    /** Runs `work` after whatever ran before, and shows what goes wrong. */
    private fun start(next: SegmentationState?, work: CoroutineScope.() -> Unit) {
        if (next != null) mutableState.value = next
        val before = state.value
        viewModelScope.launch(worker) {
            try {
                work()
            } catch (error: TinySamException) {
                show(error.message.orEmpty(), before)
            }
        }
    }

    private fun show(problem: String, before: SegmentationState) {
        mutableState.value =
            when (before) {
                is SegmentationState.Prompting -> before.copy(notice = problem)
                is SegmentationState.Searching -> SegmentationState.Prompting(before.photo, notice = problem)
                is SegmentationState.Found -> SegmentationState.Prompting(before.photo, notice = problem)
                SegmentationState.LoadingModel, is SegmentationState.NoModel -> SegmentationState.NoModel(problem)
                else -> SegmentationState.NoPhoto(problem)
            }
    }
}

private const val NANOSECONDS_PER_MS = 1e6

/** The result of `call` and the milliseconds that it took. */
internal fun <T> timed(call: () -> T): Pair<T, Double> {
    val start = System.nanoTime()
    val result = call()
    return result to (System.nanoTime() - start) / NANOSECONDS_PER_MS
}
