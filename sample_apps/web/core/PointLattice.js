import { PIXEL_CENTRE } from './Geometry.js';

/** @import { EverythingSearch } from './Manifest.js' */

/**
 * A place in a photo, in pixels, and in a lattice of which neighbours differ by 1.
 * @typedef {{x: number, y: number}} PhotoPoint
 * @typedef {PhotoPoint & {column: number, row: number}} LatticePoint
 */

/**
 * Where everything mode puts its points on a photo of `height` x `width`, in the order in which it visits
 * them.
 */
export class PointLattice {
  /** @param {number} height @param {number} width */
  constructor(height, width) {
    this.height = height;
    this.width = width;
  }

  /** Centres of a square grid, row by row, x fastest: SAM's grid. @param {number} pointsPerSide */
  grid(pointsPerSide) {
    /** @type {LatticePoint[]} */
    const points = [];
    for (let row = 0; row < pointsPerSide; row++) {
      for (let column = 0; column < pointsPerSide; column++) {
        const x = ((column + PIXEL_CENTRE) / pointsPerSide) * this.width;
        points.push({ x, y: ((row + PIXEL_CENTRE) / pointsPerSide) * this.height, column, row });
      }
    }
    return points;
  }

  /**
   * Round 1 of the hierarchical mode.
   * @param {number} pointsPerSide @param {EverythingSearch} search
   */
  coarse(pointsPerSide, { coarseFactor }) {
    return this.grid(Math.floor(pointsPerSide / coarseFactor)).map(({ x, y, column, row }) => ({
      ...{ x, y, column: column * coarseFactor, row: row * coarseFactor },
    }));
  }

  /**
   * Round 2: around each coarse point the manifest's offsets times (width // n, height // n), n the points per
   * side, where still inside the photo.  This lattice is the official code's, not SAM's grid.
   * @param {number} pointsPerSide @param {EverythingSearch} search
   * @returns {LatticePoint[]}
   */
  secondRound(pointsPerSide, search) {
    const stepX = Math.floor(this.width / pointsPerSide);
    const stepY = Math.floor(this.height / pointsPerSide);
    return this.coarse(pointsPerSide, search)
      .flatMap(({ x, y, column, row }) =>
        search.offsets.map(([dx, dy]) => ({
          ...{ x: x + dx * stepX, y: y + dy * stepY, column: column + dx, row: row + dy },
        })),
      )
      .filter(({ x, y }) => x < this.width && y < this.height);
  }
}
