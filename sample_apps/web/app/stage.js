/** The photo on the page: what is drawn over it, and what pointers and keys say about it. */
import { bitmapOf } from './pictures.js';

/** @import { PromptBox, PromptPoint } from '../core/Prompts.js' */
/** @import { Size } from './session.js' */
/**
 * What the stage tells; points and boxes in pixels of the photo.
 * @typedef {{hover: (point: {x: number, y: number} | null) => void, point: (point: PromptPoint) => void,
 *   box: (box: PromptBox) => void, undo: () => void, clear: () => void}} StageEvents
 * @typedef {'add' | 'leave' | 'box'} Tool
 */

/** A pointer that moves farther than this, in CSS pixels, draws a box. */
const DRAG_PIXELS = 8;
/** A canvas with more pixels than this looks no better. */
const MAX_SHOWN = 1_400_000;
const STEP = 0.02;
const LARGE_STEP = 0.1;

export class Stage {
  /** @param {HTMLElement} frame @param {StageEvents} events */
  constructor(frame, events) {
    this.frame = frame;
    this.events = events;
    this.photoCanvas = /** @type {HTMLCanvasElement} */ (frame.querySelector('#photo'));
    this.overlay = /** @type {HTMLCanvasElement} */ (frame.querySelector('#overlay'));
    /** @type {Tool} */
    this.tool = 'add';
    /** Of the photo. @type {Size} */
    this.size = { height: 2, width: 3 };
    /** Of the canvases. @type {Size} */
    this.shown = { height: 2, width: 3 };
    /** @type {Uint8ClampedArray | null} */
    this.picture = null;
    /** @type {{points: PromptPoint[], box: PromptBox | null}} */
    this.marks = { points: [], box: null };
    /** @type {{x: number, y: number} | null} */
    this.cross = null;
    /** The first corner of a box that the keyboard draws. @type {{x: number, y: number} | null} */
    this.corner = null;
    /** @type {{id: number, from: {x: number, y: number}, isBox: boolean} | null} */
    this.drag = null;
    /** @type {PromptBox | null} */
    this.drawn = null;
    this.listen();
  }

  /** Shows a photo; `size` is what the model sees of it. @param {Blob} blob @param {Size} size */
  async show(blob, size) {
    const bitmap = await bitmapOf(blob);
    this.size = size;
    this.frame.style.aspectRatio = `${size.width} / ${size.height}`;
    const scale = Math.min(
      (this.frame.clientWidth * devicePixelRatio) / size.width,
      Math.sqrt(MAX_SHOWN / (size.width * size.height)),
    );
    this.shown = {
      height: Math.max(1, Math.round(size.height * scale)),
      width: Math.max(1, Math.round(size.width * scale)),
    };
    for (const canvas of [this.photoCanvas, this.overlay]) Object.assign(canvas, this.shown);
    contextOf(this.photoCanvas).drawImage(bitmap, 0, 0, this.shown.width, this.shown.height);
    bitmap.close();
    this.fit();
    this.picture = null;
    this.cross = null;
    this.draw();
  }

  /** A tall photo must not be wider than its height allows. */
  fit() {
    const most = parseFloat(getComputedStyle(this.frame).maxHeight);
    const ratio = this.size.width / this.size.height;
    this.frame.style.width = most ? `min(100%, ${Math.round(most * ratio)}px)` : '100%';
  }

  /**
   * @param {Uint8ClampedArray | null} picture RGBA of the shown size
   * @param {{points: PromptPoint[], box: PromptBox | null}} [marks]
   */
  lay(picture, marks = this.marks) {
    this.picture = picture;
    this.marks = marks;
    this.draw();
  }

  draw() {
    const context = contextOf(this.overlay);
    const { width, height } = this.shown;
    context.clearRect(0, 0, width, height);
    if (this.picture)
      context.putImageData(new ImageData(/** @type {any} */ (this.picture), width, height), 0, 0);
    const box = this.drawn ?? this.marks.box;
    if (box) this.drawBox(context, box);
    for (const point of this.marks.points) this.drawPoint(context, point);
    if (this.cross && document.activeElement === this.frame) this.drawCross(context, this.cross);
  }

  /** @param {CanvasRenderingContext2D} context @param {PromptPoint} point */
  drawPoint(context, { x, y, isOnObject }) {
    const [left, top] = this.onCanvas(x, y);
    const radius = this.px(7);
    context.beginPath();
    context.arc(left, top, radius, 0, 2 * Math.PI);
    context.fillStyle = isOnObject ? '#1c8f55' : '#d23b31';
    context.strokeStyle = 'white';
    context.lineWidth = this.px(2);
    context.fill();
    context.stroke();
    context.beginPath();
    context.moveTo(left - radius / 2, top);
    context.lineTo(left + radius / 2, top);
    if (isOnObject) {
      context.moveTo(left, top - radius / 2);
      context.lineTo(left, top + radius / 2);
    }
    context.stroke();
  }

  /** @param {CanvasRenderingContext2D} context @param {PromptBox} box */
  drawBox(context, { x0, y0, x1, y1 }) {
    const [left, top] = this.onCanvas(x0, y0);
    const [right, bottom] = this.onCanvas(x1, y1);
    for (const [colour, width] of /** @type {const} */ ([
      ['rgb(0 0 0 / .55)', 4],
      ['white', 2],
    ])) {
      context.strokeStyle = colour;
      context.lineWidth = this.px(width);
      context.strokeRect(left, top, right - left, bottom - top);
    }
  }

  /** @param {CanvasRenderingContext2D} context @param {{x: number, y: number}} point */
  drawCross(context, { x, y }) {
    const [left, top] = this.onCanvas(x, y);
    const arm = this.px(14);
    for (const [colour, width] of /** @type {const} */ ([
      ['rgb(0 0 0 / .7)', 4],
      ['white', 2],
    ])) {
      context.strokeStyle = colour;
      context.lineWidth = this.px(width);
      context.beginPath();
      context.moveTo(left - arm, top);
      context.lineTo(left + arm, top);
      context.moveTo(left, top - arm);
      context.lineTo(left, top + arm);
      context.stroke();
    }
  }

  /** CSS pixels in pixels of the canvas. @param {number} length */
  px(length) {
    return (length * this.shown.width) / Math.max(1, this.frame.clientWidth);
  }

  /** @param {number} x @param {number} y */
  onCanvas(x, y) {
    return [(x / this.size.width) * this.shown.width, (y / this.size.height) * this.shown.height];
  }

  /** @param {{clientX: number, clientY: number}} event */
  onPhoto({ clientX, clientY }) {
    const { left, top, width, height } = this.overlay.getBoundingClientRect();
    const inside = (/** @type {number} */ share) => Math.min(Math.max(share, 0), 1);
    return {
      x: inside((clientX - left) / width) * this.size.width,
      y: inside((clientY - top) / height) * this.size.height,
    };
  }

  listen() {
    const { frame } = this;
    frame.addEventListener('pointerdown', (event) => this.down(event));
    frame.addEventListener('pointermove', (event) => this.move(event));
    frame.addEventListener('pointerup', (event) => this.up(event));
    frame.addEventListener('pointercancel', () => this.endDrag());
    frame.addEventListener('pointerleave', () => this.drag ?? this.events.hover(null));
    frame.addEventListener('contextmenu', (event) => event.preventDefault());
    frame.addEventListener('keydown', (event) => this.key(event));
    frame.addEventListener('focus', () => this.draw());
    frame.addEventListener('blur', () => this.draw());
    window.addEventListener('resize', () => this.fit());
  }

  /** @param {PointerEvent} event */
  down(event) {
    if (!event.isPrimary || (event.button !== 0 && event.button !== 2)) return;
    this.cross = null;
    this.drag = { id: event.pointerId, from: { x: event.clientX, y: event.clientY }, isBox: false };
    // A finger that moves without the box tool scrolls the page.
    if (event.pointerType !== 'touch' || this.tool === 'box') this.frame.setPointerCapture(event.pointerId);
  }

  /** @param {PointerEvent} event */
  move(event) {
    const { drag } = this;
    if (!drag) {
      if (event.pointerType !== 'touch') this.events.hover(this.onPhoto(event));
      return;
    }
    if (drag.id !== event.pointerId || (event.pointerType === 'touch' && this.tool !== 'box')) return;
    drag.isBox ||= Math.hypot(event.clientX - drag.from.x, event.clientY - drag.from.y) > DRAG_PIXELS;
    if (!drag.isBox) return;
    this.drawn = this.boxBetween(
      this.onPhoto({ clientX: drag.from.x, clientY: drag.from.y }),
      this.onPhoto(event),
    );
    this.events.hover(null);
    this.draw();
  }

  /** @param {PointerEvent} event */
  up(event) {
    const { drag, drawn } = this;
    if (!drag || drag.id !== event.pointerId) return;
    this.endDrag();
    if (drawn) this.events.box(drawn);
    else if (
      this.tool !== 'box' &&
      Math.hypot(event.clientX - drag.from.x, event.clientY - drag.from.y) <= DRAG_PIXELS
    ) {
      const leaves = this.tool === 'leave' || event.button === 2 || event.shiftKey;
      this.events.point({ ...this.onPhoto(event), isOnObject: !leaves });
    }
  }

  endDrag() {
    this.drag = null;
    this.drawn = null;
    this.draw();
  }

  /** @param {{x: number, y: number}} a @param {{x: number, y: number}} b @returns {PromptBox} */
  boxBetween(a, b) {
    return { x0: Math.min(a.x, b.x), y0: Math.min(a.y, b.y), x1: Math.max(a.x, b.x), y1: Math.max(a.y, b.y) };
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if ((event.ctrlKey || event.metaKey) && event.key === 'z') this.events.undo();
    else if (event.ctrlKey || event.metaKey || event.altKey || !this.act(event.key, event.shiftKey)) return;
    event.preventDefault();
  }

  /**
   * Does what a key asks; false for a key that is none of ours.
   * @param {string} key @param {boolean} shift
   */
  act(key, shift) {
    /** @type {Record<string, [number, number]>} */
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const arrow = arrows[key];
    if (arrow) this.moveCross(arrow, shift ? LARGE_STEP : STEP);
    else if (key === 'Enter' || key === ' ' || key === '+') this.addAtCross(this.tool !== 'leave');
    else if (key === '-') this.addAtCross(false);
    else if (key === 'b') this.markCorner();
    else if (key === 'u') this.events.undo();
    else if (key === 'Escape') this.beginAnew();
    else return false;
    return true;
  }

  /** @param {[number, number]} direction @param {number} step */
  moveCross([dx, dy], step) {
    const from = this.middle();
    const bound = (/** @type {number} */ place, /** @type {number} */ most) =>
      Math.min(Math.max(place, 0), most);
    this.cross = {
      x: bound(from.x + dx * step * this.size.width, this.size.width),
      y: bound(from.y + dy * step * this.size.height, this.size.height),
    };
    if (this.corner) this.drawn = this.boxBetween(this.corner, this.cross);
    this.draw();
    this.events.hover(this.corner ? null : this.cross);
  }

  /** @param {boolean} isOnObject */
  addAtCross(isOnObject) {
    this.cross = this.middle();
    if (this.corner) this.markCorner();
    else this.events.point({ ...this.cross, isOnObject });
  }

  markCorner() {
    this.cross = this.middle();
    if (!this.corner) {
      this.corner = this.cross;
      return;
    }
    const box = this.boxBetween(this.corner, this.cross);
    this.corner = null;
    this.drawn = null;
    this.events.box(box);
  }

  beginAnew() {
    this.corner = null;
    this.drawn = null;
    this.events.clear();
  }

  /** The cross, or where it begins. */
  middle() {
    return this.cross ?? { x: this.size.width / 2, y: this.size.height / 2 };
  }
}

/** @param {HTMLCanvasElement} canvas */
function contextOf(canvas) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
}
