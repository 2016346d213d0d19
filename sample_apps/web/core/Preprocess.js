import { Geometry } from './Geometry.js';
import { resizePhoto } from './Resampling.js';
import { RGB_CHANNELS, RgbImage } from './RgbImage.js';

/** @import { Manifest } from './Manifest.js' */

/**
 * The inputs of `encode` for one photo, and its geometry.
 *
 * `image` float32 (1, 3, S, S), RGB in the manifest's value range; beyond the photo it holds the manifest's pad
 * value.  Normalisation is inside the graph.
 * @typedef {{image: Float32Array, geometry: Geometry}} Preprocessed
 */

/**
 * Resizes a photo to the input square as the manifest's rules say, and pads it at the right and bottom.
 * @param {RgbImage} photo @param {Manifest} manifest @returns {Preprocessed}
 */
export function preprocess(photo, manifest) {
  const geometry = Geometry.of(photo.height, photo.width, manifest.sizes.imageSize, manifest.rules);
  const resized = resizePhoto(photo, geometry.validHeight, geometry.validWidth, manifest.rules);
  return { image: square(resized, geometry.imageSize, manifest.padValue), geometry };
}

/**
 * The planes R, G, B of side `side`, with `photo` at the top left.
 * @param {{height: number, width: number, samples: Uint8Array | Float32Array}} photo @param {number} side
 * @param {number} padValue
 */
function square(photo, side, padValue) {
  const planes = new Float32Array(RGB_CHANNELS * side * side).fill(padValue);
  for (let channel = 0; channel < RGB_CHANNELS; channel++) {
    for (let y = 0; y < photo.height; y++) {
      let source = y * photo.width * RGB_CHANNELS + channel;
      const target = (channel * side + y) * side;
      for (let x = 0; x < photo.width; x++) {
        planes[target + x] = photo.samples[source];
        source += RGB_CHANNELS;
      }
    }
  }
  return planes;
}
