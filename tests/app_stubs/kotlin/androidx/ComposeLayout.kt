@file:Suppress("unused")

package androidx.compose.foundation.layout

import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.unit.Dp

object Arrangement {
    interface Horizontal

    interface Vertical

    interface HorizontalOrVertical :
        Horizontal,
        Vertical

    fun spacedBy(space: Dp): HorizontalOrVertical = TODO()
}

interface ColumnScope {
    fun Modifier.weight(weight: Float, fill: Boolean = true): Modifier
}

interface RowScope

interface FlowRowScope : RowScope

@RequiresOptIn
annotation class ExperimentalLayoutApi

@ExperimentalLayoutApi
@Composable
fun FlowRow(
    modifier: Modifier = Modifier,
    horizontalArrangement: Arrangement.Horizontal = TODO(),
    verticalArrangement: Arrangement.Vertical = TODO(),
    content: @Composable FlowRowScope.() -> Unit,
): Unit = TODO()

fun Modifier.safeDrawingPadding(): Modifier = TODO()

@Composable
fun Column(
    modifier: Modifier = Modifier,
    verticalArrangement: Arrangement.Vertical = TODO(),
    content: @Composable ColumnScope.() -> Unit,
): Unit = TODO()

@Composable
fun Row(
    modifier: Modifier = Modifier,
    horizontalArrangement: Arrangement.Horizontal = TODO(),
    content: @Composable RowScope.() -> Unit,
): Unit = TODO()

fun Modifier.fillMaxSize(fraction: Float = 1f): Modifier = TODO()

fun Modifier.fillMaxWidth(fraction: Float = 1f): Modifier = TODO()

fun Modifier.padding(all: Dp): Modifier = TODO()
