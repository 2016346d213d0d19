package mobile.tinysam.app

import androidx.compose.foundation.Image
import androidx.compose.foundation.layout.size
import androidx.compose.material3.Button
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.graphics.asImageBitmap
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.unit.dp

/** What each engine took on the photo, a line each, as it comes. */
@Composable
fun Comparing(state: SegmentationState.Comparing, back: () -> Unit) {
    if (!state.isDone) Text(stringResource(R.string.comparing, state.rows.size, EngineChoice.entries.size))
    for (row in state.rows) {
        Text(nameOf(row.choice))
        row.problem?.let { Text(textOf(it)) }
        row.times?.let { Measured(it) }
    }
    if (state.isDone) Button(onClick = back) { Text(stringResource(R.string.back_to_prompts)) }
}

@Composable
private fun Measured(times: ComparisonRow.Times) {
    Choices {
        val what = stringResource(R.string.difference_picture)
        Image(times.difference.asImageBitmap(), contentDescription = what, modifier = Modifier.size(96.dp))
        Text(textOf(times))
    }
}

@Composable
private fun textOf(times: ComparisonRow.Times): String {
    val steps = stringResource(R.string.compared_steps, times.loadMs, times.encodeMs, times.decodeMs)
    val search = stringResource(R.string.compared_search, times.everythingMs, times.objects, times.agreement)
    val memory = times.peakMemoryBytes?.let { it / BYTES_PER_MB } ?: 0.0
    return "$steps\n$search\n" + stringResource(R.string.compared_phone, memory, times.thermal)
}

private const val BYTES_PER_MB = 1e6
