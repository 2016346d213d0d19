@file:Suppress("unused")

package androidx.compose.ui.graphics

import android.graphics.Bitmap
import mobile.tinysam.stubs.absent

class Color

fun Color(color: Long): Color = absent()

class ColorFilter {
    companion object {
        fun tint(color: Color): ColorFilter = absent()
    }
}

interface ImageBitmap

fun Bitmap.asImageBitmap(): ImageBitmap = absent()
