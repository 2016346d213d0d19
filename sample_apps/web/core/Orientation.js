import { RGB_CHANNELS, RgbImage } from './RgbImage.js';

/** Values of EXIF's tag Orientation (0x0112): where the camera's first row and column belong. */
const MIRRORED = 2;
const TURNED_HALF = 3;
const FLIPPED = 4;
const TRANSPOSED = 5;
const TURNED_RIGHT = 6;
const TRANSVERSED = 7;
const TURNED_LEFT = 8;

/**
 * The photo as a viewer shows it; `orientation` is EXIF's number, and any that EXIF does not know changes nothing.
 *
 * The page does not need it (a browser turns photos itself); an embedder that decodes photos does.
 * @param {RgbImage} photo @param {number} orientation
 */
export function upright(photo, orientation) {
  const walk = walkOf(photo, orientation);
  if (!walk) return photo;
  const [start, stepX, stepY] = walk;
  const swaps = orientation >= TRANSPOSED;
  const height = swaps ? photo.width : photo.height;
  const width = swaps ? photo.height : photo.width;
  const result = new Uint8Array(photo.samples.length);
  let target = 0;
  for (let y = 0; y < height; y++) {
    let source = (start + y * stepY) * RGB_CHANNELS;
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < RGB_CHANNELS; channel++)
        result[target++] = photo.samples[source + channel];
      source += stepX * RGB_CHANNELS;
    }
  }
  return new RgbImage(height, width, result);
}

/**
 * Where the upright photo's first pixel is in this one, and the way to the next column and row, in pixels.
 * @param {RgbImage} photo @param {number} orientation @returns {[number, number, number] | null}
 */
function walkOf({ height, width }, orientation) {
  const lastColumn = width - 1;
  const lastRow = (height - 1) * width;
  switch (orientation) {
    case MIRRORED:
      return [lastColumn, -1, width];
    case TURNED_HALF:
      return [lastRow + lastColumn, -1, -width];
    case FLIPPED:
      return [lastRow, 1, -width];
    case TRANSPOSED:
      return [0, width, 1];
    case TURNED_RIGHT:
      return [lastRow, -width, 1];
    case TRANSVERSED:
      return [lastRow + lastColumn, -width, -1];
    case TURNED_LEFT:
      return [lastColumn, width, -1];
    default:
      return null;
  }
}
