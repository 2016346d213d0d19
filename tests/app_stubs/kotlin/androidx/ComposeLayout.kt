@file:Suppress("unused")

package androidx.compose.foundation.layout

import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.unit.Dp
import mobile.tinysam.stubs.absent

object Arrangement {
    interface Horizontal

    interface Vertical

    interface HorizontalOrVertical :
        Horizontal,
        Vertical

    fun spacedBy(space: Dp): HorizontalOrVertical = absent()
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
    horizontalArrangement: Arrangement.Horizontal = absent(),
    verticalArrangement: Arrangement.Vertical = absent(),
    content: @Composable FlowRowScope.() -> Unit,
): Unit = absent()

fun Modifier.safeDrawingPadding(): Modifier = absent()

@Composable
fun Column(
    modifier: Modifier = Modifier,
    verticalArrangement: Arrangement.Vertical = absent(),
    content: @Composable ColumnScope.() -> Unit,
): Unit = absent()

@Composable
fun Row(
    modifier: Modifier = Modifier,
    horizontalArrangement: Arrangement.Horizontal = absent(),
    content: @Composable RowScope.() -> Unit,
): Unit = absent()

fun Modifier.fillMaxSize(fraction: Float = 1f): Modifier = absent()

fun Modifier.fillMaxWidth(fraction: Float = 1f): Modifier = absent()

fun Modifier.padding(all: Dp): Modifier = absent()

fun Modifier.size(size: Dp): Modifier = absent()
