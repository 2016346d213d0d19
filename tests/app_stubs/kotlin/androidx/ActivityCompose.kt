@file:Suppress("unused")

package androidx.activity.compose

import androidx.activity.ComponentActivity
import androidx.compose.runtime.Composable
import mobile.tinysam.stubs.absent

fun ComponentActivity.setContent(content: @Composable () -> Unit): Unit = absent()
