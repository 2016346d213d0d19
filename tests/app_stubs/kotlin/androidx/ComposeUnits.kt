@file:Suppress("unused")

package androidx.compose.ui.unit

import mobile.tinysam.stubs.absent

class Dp

val Int.dp: Dp get() = absent()

class IntOffset(val x: Int, val y: Int)

class IntSize(val width: Int, val height: Int)
