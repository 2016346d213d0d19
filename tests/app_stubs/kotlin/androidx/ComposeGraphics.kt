@file:Suppress("unused")

package androidx.compose.ui.graphics

import android.graphics.Bitmap

class Color

fun Color(color: Long): Color = TODO()

interface ImageBitmap

fun Bitmap.asImageBitmap(): ImageBitmap = TODO()
