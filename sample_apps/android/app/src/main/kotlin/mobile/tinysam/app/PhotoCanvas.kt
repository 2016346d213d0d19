package mobile.tinysam.app

import android.graphics.Bitmap
import androidx.compose.foundation.Canvas
import androidx.compose.foundation.gestures.detectDragGestures
import androidx.compose.foundation.gestures.detectTapGestures
import androidx.compose.runtime.Composable
import androidx.compose.runtime.getValue
import androidx.compose.runtime.mutableStateOf
import androidx.compose.runtime.remember
import androidx.compose.runtime.setValue
import androidx.compose.ui.Modifier
import androidx.compose.ui.geometry.Offset
import androidx.compose.ui.geometry.Size
import androidx.compose.ui.graphics.Color
import androidx.compose.ui.graphics.ColorFilter
import androidx.compose.ui.graphics.asImageBitmap
import androidx.compose.ui.graphics.drawscope.DrawScope
import androidx.compose.ui.graphics.drawscope.Stroke
import androidx.compose.ui.input.pointer.pointerInput
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.semantics.CustomAccessibilityAction
import androidx.compose.ui.semantics.contentDescription
import androidx.compose.ui.semantics.customActions
import androidx.compose.ui.semantics.semantics
import androidx.compose.ui.unit.IntOffset
import androidx.compose.ui.unit.IntSize
import mobile.tinysam.core.Prompt
import mobile.tinysam.core.PromptBox
import mobile.tinysam.core.PromptPoint

private val ON_OBJECT = Color(0xFF2ECC40)
private val OFF_OBJECT = Color(0xFFFF4136)
private val BOX = Color(0xFFFFDC00)
private const val POINT_RADIUS = 14f
private const val LINE_WIDTH = 5f

/** A box that is being dragged, in places on the canvas. */
private data class Dragged(val start: Offset, val end: Offset)

/** What lies over the photo: a picture of its own, or a layer of a mask that is drawn in `tint`. */
class Overlay(val picture: Bitmap, val tint: Color? = null)

/** Colour of a mask over the photo. */
val MASK_TINT = Color(0x8C1E90FF)

/** Five places that can be chosen without a touch, and what they are called. */
private fun placesOf(photo: Bitmap): List<Pair<Int, PromptPoint>> {
    val (left, middle, right) = listOf(1, 2, 3).map { it * photo.width / PLACES }
    val (top, centre, bottom) = listOf(1, 2, 3).map { it * photo.height / PLACES }
    return listOf(
        R.string.place_middle to PromptPoint(middle, centre),
        R.string.place_left to PromptPoint(left, centre),
        R.string.place_right to PromptPoint(right, centre),
        R.string.place_top to PromptPoint(middle, top),
        R.string.place_bottom to PromptPoint(middle, bottom),
    )
}

private const val PLACES = 4.0

/** The photo, what was found on it and its prompts; taps and drags on it in pixels of the photo. */
@Composable
fun PhotoCanvas(
    photo: Bitmap,
    overlay: Overlay?,
    prompt: Prompt,
    tapsAreOnObject: Boolean,
    onGesture: (Gesture) -> Unit,
    modifier: Modifier = Modifier,
) {
    val description = stringResource(R.string.photo)
    val places = placesOf(photo).map { (text, point) ->
        CustomAccessibilityAction(stringResource(text)) {
            onGesture(Gesture.Tap(point.copy(isOnObject = tapsAreOnObject)))
            true
        }
    }
    var dragged by remember { mutableStateOf<Dragged?>(null) }
    Canvas(
        modifier
            .semantics {
                contentDescription = description
                customActions = places
            }
            .pointerInput(photo, tapsAreOnObject) {
                detectTapGestures { place ->
                    val fit = fitOf(photo, size)
                    if (fit.contains(place)) {
                        val (x, y) = fit.toPhoto(place)
                        onGesture(Gesture.Tap(PromptPoint(x, y, tapsAreOnObject)))
                    }
                }
            }.pointerInput(photo) {
                detectDragGestures(
                    onDragStart = { dragged = Dragged(it, it) },
                    onDragCancel = { dragged = null },
                    onDragEnd = {
                        dragged?.let { onGesture(Gesture.Drag(boxOf(it, fitOf(photo, size)))) }
                        dragged = null
                    },
                    onDrag = { change, _ -> dragged = dragged?.copy(end = change.position) },
                )
            },
    ) {
        val fit = fitOf(photo, IntSize(size.width.toInt(), size.height.toInt()))
        drawFitted(photo, fit)
        if (overlay != null) drawFitted(overlay.picture, fit, overlay.tint)
        drawPrompt(prompt, fit)
        dragged?.let { drawBox(it.start, it.end) }
    }
}

private fun fitOf(photo: Bitmap, canvas: IntSize) =
    PhotoFit(photo.width, photo.height, canvas.width, canvas.height)

private fun boxOf(dragged: Dragged, fit: PhotoFit): PromptBox {
    val (x0, y0) = fit.toPhoto(dragged.start)
    val (x1, y1) = fit.toPhoto(dragged.end)
    return PromptBox(minOf(x0, x1), minOf(y0, y1), maxOf(x0, x1), maxOf(y0, y1))
}

private fun DrawScope.drawFitted(picture: Bitmap, fit: PhotoFit, tint: Color? = null) = drawImage(
    image = picture.asImageBitmap(),
    dstOffset = IntOffset(fit.left, fit.top),
    dstSize = IntSize(fit.width, fit.height),
    colorFilter = tint?.let { ColorFilter.tint(it) },
)

private fun DrawScope.drawPrompt(prompt: Prompt, fit: PhotoFit) {
    for (point in prompt.points) {
        val colour = if (point.isOnObject) ON_OBJECT else OFF_OBJECT
        drawCircle(colour, POINT_RADIUS, fit.toCanvas(point.x, point.y))
    }
    prompt.box?.let { drawBox(fit.toCanvas(it.x0, it.y0), fit.toCanvas(it.x1, it.y1)) }
}

private fun DrawScope.drawBox(start: Offset, end: Offset) {
    val corner = Offset(minOf(start.x, end.x), minOf(start.y, end.y))
    val size = Size(maxOf(start.x, end.x) - corner.x, maxOf(start.y, end.y) - corner.y)
    drawRect(BOX, corner, size, style = Stroke(LINE_WIDTH))
}
