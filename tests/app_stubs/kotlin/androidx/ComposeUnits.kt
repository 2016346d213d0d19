@file:Suppress("unused")

package androidx.compose.ui.unit

class Dp

val Int.dp: Dp get() = TODO()

class IntOffset(val x: Int, val y: Int)

class IntSize(val width: Int, val height: Int)
