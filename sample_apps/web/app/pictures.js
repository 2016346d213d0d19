/** Photos in, cut-outs out; both on a canvas without a page. */
import { ImageError } from '../core/Errors.js';
import { RgbImage } from '../core/RgbImage.js';

/** @import { Mask } from '../core/Mask.js' */

/** A phone's canvas holds no more; larger photos are made smaller, and the page says so. */
export const MAX_PIXELS = 16_000_000;
/** What shows through transparent pictures, as on the host. */
const BACKGROUND = 'white';
const OPAQUE = 0xff;

/**
 * The pixels of a photo as its file says them: turned upright, colours not converted, as the host reads them.
 * @param {Blob} blob
 */
export async function decodePhoto(blob) {
  const bitmap = await bitmapOf(blob);
  const scale = Math.min(1, Math.sqrt(MAX_PIXELS / (bitmap.width * bitmap.height)));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.floor(side * scale)));
  const context = contextOf(width, height);
  context.fillStyle = BACKGROUND;
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return RgbImage.ofRgba(height, width, context.getImageData(0, 0, width, height).data);
}

/** @param {Blob} blob */
export async function bitmapOf(blob) {
  try {
    return await createImageBitmap(blob, { imageOrientation: 'from-image', colorSpaceConversion: 'none' });
  } catch {
    throw new ImageError('this file is no picture that the browser can read: try a JPEG or PNG');
  }
}

/** What is inside the mask, cropped to it, as a PNG with alpha. @param {RgbImage} photo @param {Mask} mask */
export async function cutOutPicture(photo, mask) {
  const box = extentOf(mask);
  if (!box) throw new ImageError('the mask is empty: there is nothing to cut out');
  const [height, width] = [box.y1 - box.y0 + 1, box.x1 - box.x0 + 1];
  const context = contextOf(width, height);
  const picture = context.createImageData(width, height);
  for (let y = 0, target = 0; y < height; y++) {
    for (let x = 0; x < width; x++, target += 4) {
      const place = (box.y0 + y) * photo.width + box.x0 + x;
      if (!mask.pixels[place]) continue;
      picture.data.set(photo.samples.subarray(place * 3, place * 3 + 3), target);
      picture.data[target + 3] = OPAQUE;
    }
  }
  context.putImageData(picture, 0, 0);
  return context.canvas.convertToBlob({ type: 'image/png' });
}

/** First and last column and row inside; null for an empty mask. @param {Mask} mask */
function extentOf({ height, width, pixels }) {
  const box = { x0: width, y0: height, x1: -1, y1: -1 };
  for (let y = 0; y < height; y++) {
    const row = pixels.subarray(y * width, (y + 1) * width);
    const first = row.indexOf(1);
    if (first < 0) continue;
    box.y0 = Math.min(box.y0, y);
    box.y1 = y;
    box.x0 = Math.min(box.x0, first);
    box.x1 = Math.max(box.x1, row.lastIndexOf(1));
  }
  return box.y1 < 0 ? null : box;
}

/** @param {number} width @param {number} height */
function contextOf(width, height) {
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  if (!context) throw new ImageError('this browser gives no canvas to a worker: update it');
  return context;
}
