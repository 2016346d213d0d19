/**
 * A plain zip of stored files, in memory: no compression, no zip64, as docs/device_loop.md asks.
 *
 * Fields are little-endian; the layout is PKWARE's APPNOTE, sections 4.3.7, 4.3.12 and 4.3.16.
 */
export class ZipWriter {
  constructor() {
    /** @type {Uint8Array[]} */
    this.parts = [];
    /** @type {Uint8Array[]} */
    this.directory = [];
    this.offset = 0;
  }

  /** @param {string} name @param {Uint8Array} data kept, not copied: do not write to it until `finish` */
  add(name, data) {
    const encoded = new TextEncoder().encode(name);
    const common = [
      [2, VERSION],
      [2, UTF8_NAMES],
      [2, STORED],
      [4, EARLIEST_DATE],
      [4, crc32(data)],
      [4, data.length],
      [4, data.length],
      [2, encoded.length],
      [2, 0],
    ];
    this.directory.push(
      record([
        [4, DIRECTORY_SIGNATURE],
        [2, VERSION],
        ...common,
        [2, 0],
        [2, 0],
        [2, 0],
        [4, 0],
        [4, this.offset],
      ]),
      encoded,
    );
    for (const part of [record([[4, FILE_SIGNATURE], ...common]), encoded, data]) {
      this.parts.push(part);
      this.offset += part.length;
    }
  }

  /** The whole archive. */
  finish() {
    const size = this.directory.reduce((sum, part) => sum + part.length, 0);
    const files = this.directory.length / 2;
    const end = record([
      [4, END_SIGNATURE],
      [2, 0],
      [2, 0],
      [2, files],
      [2, files],
      [4, size],
      [4, this.offset],
      [2, 0],
    ]);
    return new Blob(/** @type {BlobPart[]} */ ([...this.parts, ...this.directory, end]), {
      type: 'application/zip',
    });
  }
}

const FILE_SIGNATURE = 0x04034b50;
const DIRECTORY_SIGNATURE = 0x02014b50;
const END_SIGNATURE = 0x06054b50;
/** Version 2.0 of the format. */
const VERSION = 20;
const UTF8_NAMES = 1 << 11;
const STORED = 0;
/** 1 January 1980, midnight: the date in the upper half, the time in the lower. */
const EARLIEST_DATE = ((1 << 5) | 1) << 16;

/** @param {number[][]} fields pairs of width in bytes, 2 or 4, and value */
function record(fields) {
  const bytes = new Uint8Array(fields.reduce((sum, [width]) => sum + width, 0));
  const view = new DataView(bytes.buffer);
  let place = 0;
  for (const [width, value] of fields) {
    if (width === 2) view.setUint16(place, value, true);
    else view.setUint32(place, value, true);
    place += width;
  }
  return bytes;
}

const CRC_POLYNOMIAL = 0xedb88320;
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, i) => {
  let value = i;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ CRC_POLYNOMIAL : value >>> 1;
  return value;
});

/** @param {Uint8Array} data */
export function crc32(data) {
  let crc = ~0;
  for (let i = 0; i < data.length; i++) crc = CRC_TABLE[(crc ^ data[i]) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}
