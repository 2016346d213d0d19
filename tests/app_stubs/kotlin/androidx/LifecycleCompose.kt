@file:Suppress("unused")

package androidx.lifecycle.compose

import androidx.compose.runtime.Composable
import androidx.compose.runtime.State
import kotlinx.coroutines.flow.StateFlow
import mobile.tinysam.stubs.absent

@Composable
fun <T> StateFlow<T>.collectAsStateWithLifecycle(): State<T> = absent()
