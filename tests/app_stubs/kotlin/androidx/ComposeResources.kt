@file:Suppress("unused")

package androidx.compose.ui.res

import androidx.compose.runtime.Composable
import mobile.tinysam.stubs.absent

@Composable
fun stringResource(id: Int): String = absent()

@Composable
fun stringResource(id: Int, vararg formatArgs: Any): String = absent()
