/** The prompt that is being built, step by step; every step can be undone. */

/** @import { PromptBox, PromptPoint } from '../core/Prompts.js' */
/**
 * @typedef {{step: number, points: PromptPoint[], box: PromptBox | null}} Step
 * `step` is 1 or more, and never used twice
 */

export class History {
  constructor() {
    /** @type {Step[]} */
    this.steps = [];
    this.number = 0;
  }

  /** @returns {Step | null} */
  get current() {
    return this.steps[this.steps.length - 1] ?? null;
  }

  /** The step whose mask the current one may refine. */
  get before() {
    return this.steps[this.steps.length - 2] ?? null;
  }

  /** @param {PromptPoint} point */
  addPoint(point) {
    this.push([...(this.current?.points ?? []), point], this.current?.box ?? null);
  }

  /** A box begins a new object, as a model takes one only. @param {PromptBox} box */
  setBox(box) {
    this.push([], box);
  }

  undo() {
    this.steps.pop();
  }

  clear() {
    this.steps = [];
  }

  /** @param {PromptPoint[]} points @param {PromptBox | null} box */
  push(points, box) {
    this.number++;
    this.steps.push({ step: this.number, points, box });
  }
}
