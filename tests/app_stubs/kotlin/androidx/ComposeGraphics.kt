@file:Suppress("unused")

package androidx.compose.ui.graphics

import android.graphics.Bitmap

class Color

fun Color(color: Long): Color = TODO()

class ColorFilter {
    companion object {
        fun tint(color: Color): ColorFilter = TODO()
    }
}

interface ImageBitmap

fun Bitmap.asImageBitmap(): ImageBitmap = TODO()
