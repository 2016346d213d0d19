package mobile.tinysam.core

import java.nio.FloatBuffer

/**
 * The inputs of `encode` for one photo, and its geometry.
 *
 * `image` float32 (1, 3, S, S), RGB in the manifest's value range, a direct buffer; beyond the photo it holds
 * the manifest's pad value.  Normalisation is inside the graph.
 */
class Preprocessed(val image: FloatBuffer, val geometry: Geometry)

/** Brings a photo to the size in which `encode` takes it; the app's default is the core's own code. */
fun interface PhotoResizer {
    /** The photo in `height` x `width`. */
    fun resize(photo: RgbRows, height: Int, width: Int): RgbImage
}

/** Resizes a photo to the S frame and pads it at the right and bottom. */
fun preprocess(
    photo: RgbRows,
    manifest: Manifest,
    resizer: PhotoResizer = PhotoResizer(::resizeBilinear),
): Preprocessed {
    val geometry = Geometry.of(photo.height, photo.width, manifest.sizes.imageSize)
    val resized = resizer.resize(photo, geometry.validHeight, geometry.validWidth)
    return Preprocessed(square(resized, geometry.imageSize, manifest.padValue), geometry)
}

/** The planes R, G, B of side `side`, with `photo` at the top left. */
private fun square(photo: RgbImage, side: Int, padValue: Float): FloatBuffer {
    val planes = directFloats(RGB_CHANNELS * side * side)
    val row = FloatArray(side)
    for (channel in 0 until RGB_CHANNELS) {
        for (y in 0 until side) {
            row.fill(padValue)
            if (y < photo.height) {
                var source = y * photo.width * RGB_CHANNELS + channel
                for (x in 0 until photo.width) {
                    row[x] = (photo.samples[source].toInt() and BYTE_MASK).toFloat()
                    source += RGB_CHANNELS
                }
            }
            planes.put(row)
        }
    }
    planes.moveTo(0)
    return planes
}
