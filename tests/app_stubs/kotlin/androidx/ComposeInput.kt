@file:Suppress("unused")

package androidx.compose.ui.input.pointer

import androidx.compose.ui.Modifier
import androidx.compose.ui.geometry.Offset
import androidx.compose.ui.unit.IntSize
import mobile.tinysam.stubs.absent

interface PointerInputScope {
    val size: IntSize
}

class PointerInputChange {
    val position: Offset get() = absent()
}

fun Modifier.pointerInput(key1: Any?, block: suspend PointerInputScope.() -> Unit): Modifier = absent()

fun Modifier.pointerInput(key1: Any?, key2: Any?, block: suspend PointerInputScope.() -> Unit): Modifier = absent()
