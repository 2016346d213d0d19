@file:Suppress("unused")

package androidx.compose.ui.graphics.drawscope

import androidx.compose.ui.geometry.Offset
import androidx.compose.ui.geometry.Size
import androidx.compose.ui.graphics.Color
import androidx.compose.ui.graphics.ColorFilter
import androidx.compose.ui.graphics.ImageBitmap
import androidx.compose.ui.unit.IntOffset
import androidx.compose.ui.unit.IntSize
import mobile.tinysam.stubs.absent

sealed class DrawStyle

class Stroke(val width: Float = 0f) : DrawStyle()

object Fill : DrawStyle()

interface DrawScope {
    val size: Size

    fun drawImage(
        image: ImageBitmap,
        srcOffset: IntOffset = absent(),
        srcSize: IntSize = absent(),
        dstOffset: IntOffset = absent(),
        dstSize: IntSize = absent(),
        alpha: Float = 1f,
        style: DrawStyle = Fill,
        colorFilter: ColorFilter? = null,
    )

    fun drawCircle(color: Color, radius: Float = absent(), center: Offset = absent())

    fun drawRect(
        color: Color,
        topLeft: Offset = absent(),
        size: Size = absent(),
        alpha: Float = 1f,
        style: DrawStyle = Fill,
    )
}
