@file:Suppress("unused")

package androidx.compose.material3

import androidx.compose.foundation.layout.RowScope
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import mobile.tinysam.stubs.absent

class ColorScheme

fun lightColorScheme(): ColorScheme = absent()

fun darkColorScheme(): ColorScheme = absent()

@Composable
fun MaterialTheme(colorScheme: ColorScheme = absent(), content: @Composable () -> Unit): Unit = absent()

@Composable
fun Surface(modifier: Modifier = Modifier, content: @Composable () -> Unit): Unit = absent()

@Composable
fun Text(text: String, modifier: Modifier = Modifier): Unit = absent()

@Composable
fun Button(
    onClick: () -> Unit,
    modifier: Modifier = Modifier,
    enabled: Boolean = true,
    content: @Composable RowScope.() -> Unit,
): Unit = absent()

@Composable
fun FilterChip(
    selected: Boolean,
    onClick: () -> Unit,
    label: @Composable () -> Unit,
    modifier: Modifier = Modifier,
): Unit = absent()

@Composable
fun LinearProgressIndicator(modifier: Modifier = Modifier): Unit = absent()

@Composable
fun LinearProgressIndicator(progress: () -> Float, modifier: Modifier = Modifier): Unit = absent()
