package mobile.tinysam.app

import androidx.compose.ui.geometry.Offset

/** Where a photo lies on a canvas in which it is as large as possible: `scale` canvas pixels per photo pixel. */
class PhotoFit(private val photoWidth: Int, private val photoHeight: Int, canvasWidth: Int, canvasHeight: Int) {
    val scale: Float = minOf(canvasWidth.toFloat() / photoWidth, canvasHeight.toFloat() / photoHeight)
    val width: Int = (photoWidth * scale).toInt()
    val height: Int = (photoHeight * scale).toInt()
    val left: Int = (canvasWidth - width) / 2
    val top: Int = (canvasHeight - height) / 2

    /** x, y of the photo under a place on the canvas, moved onto the photo if it is beside it. */
    fun toPhoto(place: Offset): Pair<Double, Double> =
        inside((place.x - left) / scale, photoWidth) to inside((place.y - top) / scale, photoHeight)

    /** Whether a place on the canvas is on the photo. */
    fun contains(place: Offset): Boolean =
        place.x - left in 0f..width.toFloat() && place.y - top in 0f..height.toFloat()

    /** The place on the canvas of a point of the photo. */
    fun toCanvas(x: Double, y: Double) = Offset(left + x.toFloat() * scale, top + y.toFloat() * scale)

    private fun inside(value: Float, side: Int): Double = value.toDouble().coerceIn(0.0, side.toDouble())
}
