package mobile.tinysam.app

import android.graphics.Bitmap
import mobile.tinysam.core.EncodedPhoto
import mobile.tinysam.core.Prediction
import mobile.tinysam.core.Prompt
import mobile.tinysam.core.PromptBox
import mobile.tinysam.core.PromptPoint
import mobile.tinysam.core.SearchProgress

/** What the screen shows. */
sealed interface SegmentationState {
    /** The model is being loaded, or was not asked for yet. */
    data object LoadingModel : SegmentationState

    /** No model: `reason` says what to do. */
    data class NoModel(val reason: Notice) : SegmentationState

    /** The model is ready; `notice` says what went wrong before. */
    data class NoPhoto(val notice: Notice? = null) : SegmentationState

    data class EncodingPhoto(val photo: LoadedPhoto) : SegmentationState

    /**
     * A photo that can be prompted; `answer` is null before the first prompt, and belongs to an earlier one while a
     * decode runs.  `earlier` are the prompts before this one, for undo.
     */
    data class Prompting(
        val photo: ReadyPhoto,
        val prompt: Prompt = Prompt(),
        val earlier: List<Prompt> = emptyList(),
        val answer: Answer? = null,
        val notice: Notice? = null,
    ) : SegmentationState

    /** Everything mode runs; `progress` is null before the first decoder call. */
    data class Searching(val photo: ReadyPhoto, val progress: SearchProgress? = null) : SegmentationState

    /** Everything mode ended: `objects` over the photo, how many, and whether the user stopped it. */
    data class Found(
        val photo: ReadyPhoto,
        val objects: Bitmap,
        val count: Int,
        val stoppedEarly: Boolean,
        val searchMs: Double,
    ) : SegmentationState

    /** Fixtures are replayed; `done` of `total` photos. */
    data class Replaying(val done: Int, val total: Int) : SegmentationState

    /** One photo on every engine, a row each; `isDone` when all were tried. */
    data class Comparing(val photo: ReadyPhoto, val rows: List<ComparisonRow>, val isDone: Boolean = false) :
        SegmentationState
}

/** A photo as it is shown and as the decoder knows it. */
class ReadyPhoto(val loaded: LoadedPhoto, val encoded: EncodedPhoto, val encodeMs: Double)

/** The mask for a prompt, over the photo. */
class Answer(val prediction: Prediction, val mask: Bitmap, val decodeMs: Double, val postprocessMs: Double)

/** What a finger does. */
sealed interface Gesture {
    data class Tap(val point: PromptPoint) : Gesture

    data class Drag(val box: PromptBox) : Gesture
}
