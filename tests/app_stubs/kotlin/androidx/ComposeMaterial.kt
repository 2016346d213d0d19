@file:Suppress("unused")

package androidx.compose.material3

import androidx.compose.foundation.layout.RowScope
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier

class ColorScheme

fun lightColorScheme(): ColorScheme = TODO()

fun darkColorScheme(): ColorScheme = TODO()

@Composable
fun MaterialTheme(colorScheme: ColorScheme = TODO(), content: @Composable () -> Unit): Unit = TODO()

@Composable
fun Surface(modifier: Modifier = Modifier, content: @Composable () -> Unit): Unit = TODO()

@Composable
fun Text(text: String, modifier: Modifier = Modifier): Unit = TODO()

@Composable
fun Button(
    onClick: () -> Unit,
    modifier: Modifier = Modifier,
    enabled: Boolean = true,
    content: @Composable RowScope.() -> Unit,
): Unit = TODO()

@Composable
fun FilterChip(
    selected: Boolean,
    onClick: () -> Unit,
    label: @Composable () -> Unit,
    modifier: Modifier = Modifier,
): Unit = TODO()

@Composable
fun LinearProgressIndicator(modifier: Modifier = Modifier): Unit = TODO()

@Composable
fun LinearProgressIndicator(progress: () -> Float, modifier: Modifier = Modifier): Unit = TODO()
