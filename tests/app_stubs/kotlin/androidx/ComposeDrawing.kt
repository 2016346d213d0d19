@file:Suppress("unused")

package androidx.compose.ui.graphics.drawscope

import androidx.compose.ui.geometry.Offset
import androidx.compose.ui.geometry.Size
import androidx.compose.ui.graphics.Color
import androidx.compose.ui.graphics.ColorFilter
import androidx.compose.ui.graphics.ImageBitmap
import androidx.compose.ui.unit.IntOffset
import androidx.compose.ui.unit.IntSize

sealed class DrawStyle

class Stroke(val width: Float = 0f) : DrawStyle()

object Fill : DrawStyle()

interface DrawScope {
    val size: Size

    fun drawImage(
        image: ImageBitmap,
        srcOffset: IntOffset = TODO(),
        srcSize: IntSize = TODO(),
        dstOffset: IntOffset = TODO(),
        dstSize: IntSize = TODO(),
        alpha: Float = 1f,
        style: DrawStyle = Fill,
        colorFilter: ColorFilter? = null,
    )

    fun drawCircle(color: Color, radius: Float = TODO(), center: Offset = TODO())

    fun drawRect(
        color: Color,
        topLeft: Offset = TODO(),
        size: Size = TODO(),
        alpha: Float = 1f,
        style: DrawStyle = Fill,
    )
}
