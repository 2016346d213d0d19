@file:Suppress("unused")

package androidx.compose.ui.res

import androidx.compose.runtime.Composable

@Composable
fun stringResource(id: Int): String = TODO()

@Composable
fun stringResource(id: Int, vararg formatArgs: Any): String = TODO()
