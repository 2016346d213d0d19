package mobile.tinysam.app

import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.ExperimentalLayoutApi
import androidx.compose.foundation.layout.FlowRow
import androidx.compose.foundation.layout.fillMaxSize
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.padding
import androidx.compose.foundation.layout.safeDrawingPadding
import androidx.compose.material3.Button
import androidx.compose.material3.FilterChip
import androidx.compose.material3.LinearProgressIndicator
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.runtime.getValue
import androidx.compose.runtime.mutableStateOf
import androidx.compose.runtime.remember
import androidx.compose.runtime.setValue
import androidx.compose.ui.Modifier
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.unit.dp
import mobile.tinysam.core.Prompt

/** What the user can do; the activity and the view model do it.  `recordDump` is null without fixtures in the app. */
class SegmentationActions(
    val pickPhoto: () -> Unit,
    val takePhoto: () -> Unit,
    val chooseEngine: (EngineChoice) -> Unit,
    val usePlatformResize: (Boolean) -> Unit,
    val onGesture: (Gesture) -> Unit,
    val undo: () -> Unit,
    val refine: () -> Unit,
    val findEverything: () -> Unit,
    val compareEngines: () -> Unit,
    val cancel: () -> Unit,
    val clear: () -> Unit,
    val recordDump: (() -> Unit)?,
)

@Composable
fun SegmentationScreen(
    state: SegmentationState,
    choice: EngineChoice,
    usesPlatformResize: Boolean,
    actions: SegmentationActions,
) {
    // Android draws apps under its bars and around its cameras.
    Column(
        Modifier.fillMaxSize().safeDrawingPadding().padding(12.dp),
        verticalArrangement = Arrangement.spacedBy(8.dp),
    ) {
        Choices {
            for (engine in EngineChoice.entries) {
                FilterChip(
                    selected = engine == choice,
                    onClick = { actions.chooseEngine(engine) },
                    label = { Text(nameOf(engine)) },
                )
            }
            FilterChip(
                selected = usesPlatformResize,
                onClick = { actions.usePlatformResize(!usesPlatformResize) },
                label = { Text(stringResource(R.string.platform_resize)) },
            )
        }
        Stage(state, actions, Modifier.weight(1f))
    }
}

@Composable
private fun Stage(state: SegmentationState, actions: SegmentationActions, modifier: Modifier) {
    when (state) {
        SegmentationState.LoadingModel -> Waiting(stringResource(R.string.loading_model))

        is SegmentationState.NoModel -> Text(textOf(state.reason))

        is SegmentationState.NoPhoto -> {
            Text(state.notice?.let { textOf(it) } ?: stringResource(R.string.no_photo))
            PhotoButtons(actions)
        }

        is SegmentationState.EncodingPhoto -> {
            Waiting(stringResource(R.string.encoding_photo))
            Shown(state.photo, modifier)
        }

        is SegmentationState.Prompting -> {
            PromptingPhoto(state, actions, modifier)
            PhotoButtons(actions)
        }

        is SegmentationState.Searching -> Searching(state, actions.cancel, modifier)

        is SegmentationState.Found -> Found(state, actions.clear, modifier)

        is SegmentationState.Replaying -> Waiting(stringResource(R.string.replaying, state.done, state.total))

        is SegmentationState.Comparing -> Comparing(state, actions.clear)
    }
}

/** Buttons, chips and the like that go on in the next line where the phone is too narrow for them. */
@OptIn(ExperimentalLayoutApi::class)
@Composable
internal fun Choices(content: @Composable () -> Unit) {
    FlowRow(
        horizontalArrangement = Arrangement.spacedBy(8.dp),
        verticalArrangement = Arrangement.spacedBy(4.dp),
    ) { content() }
}

@Composable
fun nameOf(engine: EngineChoice): String = when (engine) {
    EngineChoice.LITERT_CPU -> stringResource(R.string.litert_cpu)
    EngineChoice.LITERT_GPU -> stringResource(R.string.litert_gpu)
    EngineChoice.LITERT_GPU_EXACT -> stringResource(R.string.litert_gpu_exact)
    EngineChoice.LITERT_NPU -> stringResource(R.string.litert_npu)
    EngineChoice.EXECUTORCH -> stringResource(R.string.executorch)
}

@Composable
fun textOf(notice: Notice): String = when (notice) {
    is Notice.Said -> notice.text
    is Notice.Known -> stringResource(notice.text, *notice.values.toTypedArray())
}

@Composable
private fun PhotoButtons(actions: SegmentationActions) {
    Choices {
        Button(onClick = actions.pickPhoto) { Text(stringResource(R.string.pick_photo)) }
        Button(onClick = actions.takePhoto) { Text(stringResource(R.string.take_photo)) }
        actions.recordDump?.let { Button(onClick = it) { Text(stringResource(R.string.share_dump)) } }
    }
}

@Composable
private fun Waiting(what: String) {
    Text(what)
    LinearProgressIndicator(Modifier.fillMaxWidth())
}

@Composable
private fun Shown(photo: LoadedPhoto, modifier: Modifier, overlay: Overlay? = null) =
    PhotoCanvas(photo.shown, overlay, Prompt(), tapsAreOnObject = true, onGesture = {}, modifier.fillMaxWidth())

@Composable
private fun PromptingPhoto(state: SegmentationState.Prompting, actions: SegmentationActions, modifier: Modifier) {
    var tapsAreOnObject by remember { mutableStateOf(true) }
    PhotoCanvas(
        photo = state.photo.loaded.shown,
        overlay = state.answer?.let { Overlay(it.mask, MASK_TINT) },
        prompt = state.prompt,
        tapsAreOnObject = tapsAreOnObject,
        onGesture = actions.onGesture,
        modifier = modifier.fillMaxWidth(),
    )
    Text(state.notice?.let { textOf(it) } ?: timingOf(state))
    Choices {
        FilterChip(
            selected = tapsAreOnObject,
            onClick = { tapsAreOnObject = !tapsAreOnObject },
            label = { Text(stringResource(if (tapsAreOnObject) R.string.on_object else R.string.off_object)) },
        )
        Button(onClick = actions.undo, enabled = state.earlier.isNotEmpty()) {
            Text(stringResource(R.string.undo))
        }
        Button(onClick = actions.refine, enabled = state.answer != null) { Text(stringResource(R.string.refine)) }
        Button(onClick = actions.clear) { Text(stringResource(R.string.clear)) }
        Button(onClick = actions.findEverything) { Text(stringResource(R.string.everything)) }
        Button(onClick = actions.compareEngines) { Text(stringResource(R.string.compare_engines)) }
    }
}

@Composable
private fun timingOf(state: SegmentationState.Prompting): String {
    val answer = state.answer ?: return stringResource(R.string.tap_or_drag, state.photo.encodeMs)
    val score = answer.prediction.scores[answer.prediction.best]
    return stringResource(R.string.timing, state.photo.encodeMs, answer.decodeMs, answer.postprocessMs, score)
}

@Composable
private fun Searching(state: SegmentationState.Searching, cancel: () -> Unit, modifier: Modifier) {
    val progress = state.progress
    if (progress == null) {
        Waiting(stringResource(R.string.searching))
    } else {
        Text(stringResource(R.string.search_progress, progress.round, progress.decoded, progress.total))
        val share = progress.decoded.toFloat() / maxOf(progress.total, 1)
        LinearProgressIndicator({ share }, Modifier.fillMaxWidth())
    }
    Shown(state.photo.loaded, modifier)
    Button(onClick = cancel) { Text(stringResource(R.string.stop)) }
}

@Composable
private fun Found(state: SegmentationState.Found, clear: () -> Unit, modifier: Modifier) {
    val text = if (state.stoppedEarly) R.string.found_so_far else R.string.found
    Text(stringResource(text, state.count, state.searchMs))
    Shown(state.photo.loaded, modifier, Overlay(state.objects))
    Button(onClick = clear) { Text(stringResource(R.string.back_to_prompts)) }
}
