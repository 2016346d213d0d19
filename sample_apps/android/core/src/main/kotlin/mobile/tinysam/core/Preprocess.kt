package mobile.tinysam.core

import java.nio.FloatBuffer

/**
 * The inputs of `encode` for one photo, and its geometry.
 *
 * `image` float32 (1, 3, S, S), RGB in the manifest's value range, a direct buffer; beyond the photo it holds
 * the manifest's pad value.  Normalisation is inside the graph.
 */
class Preprocessed(val image: FloatBuffer, val geometry: Geometry)

/** Brings a photo to the size in which `encode` takes it by a platform's code; masks are then not quite the host's. */
fun interface PhotoResizer {
    /** The photo in `height` x `width`. */
    fun resize(photo: RgbRows, height: Int, width: Int): RgbImage
}

/** Resizes a photo to the input square, by default as the manifest's rules say, and pads it at the right and bottom. */
fun preprocess(photo: RgbRows, manifest: Manifest, resizer: PhotoResizer? = null): Preprocessed {
    val geometry = Geometry.of(photo.height, photo.width, manifest.sizes.imageSize, manifest.rules)
    val (height, width) = geometry.validHeight to geometry.validWidth
    val resized =
        if (resizer == null) {
            resizePhoto(photo, height, width, manifest.rules)
        } else {
            ResizedPhoto(resizer.resize(photo, height, width))
        }
    return Preprocessed(square(resized, geometry.imageSize, manifest.padValue), geometry)
}

/** The planes R, G, B of side `side`, with `photo` at the top left. */
private fun square(photo: ResizedPhoto, side: Int, padValue: Float): FloatBuffer {
    val planes = directFloats(RGB_CHANNELS * side * side)
    val row = FloatArray(side)
    for (channel in 0 until RGB_CHANNELS) {
        for (y in 0 until side) {
            row.fill(padValue)
            if (y < photo.height) {
                var source = y * photo.width * RGB_CHANNELS + channel
                for (x in 0 until photo.width) {
                    row[x] = photo[source]
                    source += RGB_CHANNELS
                }
            }
            planes.put(row)
        }
    }
    planes.moveTo(0)
    return planes
}
