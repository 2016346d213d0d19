package mobile.tinysam.core

/** Steps of this share of the colour circle keep any number of hues apart. */
private const val GOLDEN_RATIO = 0.618033988749895

/** Saturation and brightness in percent, in turn. */
private val RINGS = listOf(75 to 100, 95 to 80, 50 to 95)

private const val PERCENT = 100.0
private const val SEXTANTS = 6
private const val WHITE = BYTE_MASK.toByte()
private const val DIMMED = 0.45
private const val PICTURE_SIDE = 512
private val MISSING_COLOUR = intArrayOf(255, 65, 54)
private val EXTRA_COLOUR = intArrayOf(30, 144, 255)

/** The colour of object `index`, R, G, B: neighbours in the list look different, and each call gives the same. */
fun objectColour(index: Int): IntArray {
    val (saturation, value) = RINGS[index % RINGS.size].let { it.first / PERCENT to it.second / PERCENT }
    val place = index * GOLDEN_RATIO % 1 * SEXTANTS
    val fraction = place % 1
    val low = value * (1 - saturation)
    val falling = value * (1 - saturation * fraction)
    val rising = value * (1 - saturation * (1 - fraction))
    val shares =
        when (place.toInt()) {
            0 -> listOf(value, rising, low)
            1 -> listOf(falling, value, low)
            2 -> listOf(low, value, rising)
            3 -> listOf(low, falling, value)
            4 -> listOf(rising, low, value)
            else -> listOf(value, low, falling)
        }
    return IntArray(RGB_CHANNELS) { (shares[it] * BYTE_MASK).toInt() }
}

/** The photo with a half-transparent colour for each object of the map, and a white line around its areas. */
fun overlay(photo: RgbImage, map: LabelMap): RgbImage {
    if (photo.height != map.height || photo.width != map.width) {
        throw ImageException(
            "a label map of ${map.height} x ${map.width} does not fit ${photo.height} x ${photo.width}",
        )
    }
    val result = photo.samples.copyOf()
    val colours = HashMap<Int, IntArray>()
    for (y in 0 until map.height) {
        for (x in 0 until map.width) {
            val index = y * map.width + x
            val first = index * RGB_CHANNELS
            if (isEdge(map, x, y)) {
                result.fill(WHITE, first, first + RGB_CHANNELS)
            } else if (map[index] > 0) {
                val colour = colours.getOrPut(map[index]) { objectColour(map[index] - 1) }
                for (i in 0 until RGB_CHANNELS) {
                    result[first + i] = (((result[first + i].toInt() and BYTE_MASK) + colour[i]) / 2).toByte()
                }
            }
        }
    }
    return RgbImage(photo.height, photo.width, result)
}

/** Whether the pixel on the right or below belongs to another object. */
private fun isEdge(map: LabelMap, x: Int, y: Int): Boolean {
    val index = y * map.width + x
    val right = x + 1 < map.width && map[index + 1] != map[index]
    return right || (y + 1 < map.height && map[index + map.width] != map[index])
}

/**
 * Where two masks of a photo differ: on the darkened photo in red what `mask` lacks of `reference`, in blue what it has
 * besides.  A pixel stands for a square of the photo's, so that no side is longer than `longestSide`.
 *
 * Throws [ImageException] for masks of another size.
 */
fun differencePicture(photo: RgbRows, mask: Mask, reference: Mask, longestSide: Int = PICTURE_SIDE): RgbImage {
    if (listOf(mask, reference).any { it.height != photo.height || it.width != photo.width }) {
        throw ImageException("a mask is of another size than the photo")
    }
    val step = (maxOf(photo.height, photo.width) + longestSide - 1) / longestSide
    val height = (photo.height + step - 1) / step
    val width = (photo.width + step - 1) / step
    val samples = ByteArray(height * width * RGB_CHANNELS)
    val row = ByteArray(photo.width * RGB_CHANNELS)
    for (y in 0 until height) {
        photo.readRow(y * step, row)
        for (x in 0 until width) {
            for (i in 0 until RGB_CHANNELS) {
                val light = row[x * step * RGB_CHANNELS + i].toInt() and BYTE_MASK
                samples[(y * width + x) * RGB_CHANNELS + i] = (light * DIMMED).toInt().toByte()
            }
        }
    }
    for ((only, other, colour) in listOf(
        Triple(reference, mask, MISSING_COLOUR),
        Triple(mask, reference, EXTRA_COLOUR),
    )) {
        for (index in only.pixels.indices) {
            if (only.pixels[index] == Mask.OUTSIDE || other.pixels[index] != Mask.OUTSIDE) continue
            val place = (index / photo.width / step * width + index % photo.width / step) * RGB_CHANNELS
            for (i in 0 until RGB_CHANNELS) samples[place + i] = colour[i].toByte()
        }
    }
    return RgbImage(height, width, samples)
}
