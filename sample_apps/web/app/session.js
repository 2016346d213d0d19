/** What the page asks of its worker: models, one photo, masks of prompts, everything, exports, the check. */
import { EverythingGenerator } from '../core/Everything.js';
import { everythingSettings } from '../core/EverythingSettings.js';
import { PromptError } from '../core/Errors.js';
import { LabelMap } from '../core/LabelMap.js';
import { Mask } from '../core/Mask.js';
import { MaskUpscaler } from '../core/MaskUpscaler.js';
import { preprocess } from '../core/Preprocess.js';
import { Prompt } from '../core/Prompts.js';
import { DumpWriter } from '../core/replay/DumpWriter.js';
import { filesAt } from '../core/replay/FileTree.js';
import { FixtureSet } from '../core/replay/FixtureSet.js';
import { Replay } from '../core/replay/Replay.js';
import { RgbImage } from '../core/RgbImage.js';
import { RunLengths } from '../core/RunLengths.js';
import { cutOutPicture, decodePhoto } from './pictures.js';
import { Models, RUNTIME } from './models.js';

/** @import { PromptBox, PromptPoint } from '../core/Prompts.js' */
/** @import { EncodedPhoto, Prediction } from '../core/Predictor.js' */
/** @import { EverythingResult } from '../core/Everything.js' */
/** @import { DeviceDescription } from '../core/replay/DumpWriter.js' */
/** @import { Accelerator } from '../platform/LiteRtEngine.js' */
/** @import { Config, Model } from './models.js' */

/** @typedef {{height: number, width: number}} Size */
/** @typedef {{recipe: string, accelerator: Accelerator}} Choice which model answers */
/**
 * A prompt in pixels of the photo; `step` names it, `refines` the step whose mask it refines.  `maskIndex` null
 * shows the best of the masks; `shown` is the size in which the page shows it.
 * @typedef {{points: PromptPoint[], box: PromptBox | null, step: number, refines: number | null,
 *   maskIndex: number | null, shown: Size}} PromptRequest
 */

/** Logits that a later step may refine: the oldest are forgotten. */
const KEPT_STEPS = 64;

export class Session {
  /** @param {(progress: any) => void} tell */
  constructor(tell) {
    this.tell = tell;
    this.stopped = false;
    /** @type {Models | null} */
    this.models = null;
    /** @type {RgbImage | null} */
    this.photo = null;
    /** What each model made of the photo. @type {Map<Model, EncodedPhoto>} */
    this.encoded = new Map();
    /** @type {Map<string, Float32Array>} */
    this.logits = new Map();
    /** Masks in pixels of the photo, by who answered. @type {Map<string, Mask>} */
    this.masks = new Map();
    /** @type {EverythingResult | null} */
    this.everythingFound = null;
    /** @type {{key: string, upscaler: MaskUpscaler} | null} */
    this.shownUpscaler = null;
    /** @type {Map<string, () => Mask>} */
    this.makers = new Map();
  }

  stop() {
    this.stopped = true;
  }

  /** Reads the manifest; what the page shows of it. @param {Config} config @param {string} base */
  async start(config, base) {
    this.models = new Models(config, new URL(base), (progress) => this.tell(progress));
    const manifest = await this.models.readManifest();
    return {
      name: manifest.name,
      isStandIn: manifest.isStandIn,
      recipes: manifest.recipes(RUNTIME),
      megabytes: Object.fromEntries(
        manifest.recipes(RUNTIME).map((recipe) => {
          const { encoder, decoder } = manifest.artifactsOf(RUNTIME, recipe);
          return [recipe, (encoder.sizeBytes + decoder.sizeBytes) / 1e6];
        }),
      ),
      imageSize: manifest.sizes.imageSize,
      masksPerPrompt: manifest.masksPerPrompt,
    };
  }

  /** @param {Choice} choice */
  async load({ recipe, accelerator }) {
    const model = await this.opened().open(recipe, accelerator);
    return { loadMs: model.loadMs, threads: this.opened().runtime?.threads ?? 1 };
  }

  /** Opens a photo; nothing is encoded yet. @param {Blob} blob @returns {Promise<Size>} */
  async open(blob) {
    const photo = await decodePhoto(blob);
    for (const [model, { features }] of this.encoded) model.predictor.engine.release(features);
    for (const kept of [this.encoded, this.logits, this.masks, this.makers]) kept.clear();
    this.everythingFound = null;
    this.shownUpscaler = null;
    this.photo = photo;
    return { height: photo.height, width: photo.width };
  }

  /** Encodes the photo with a model, unless that was done. @param {Choice} choice */
  async encode(choice) {
    const model = await this.opened().open(choice.recipe, choice.accelerator);
    if (this.encoded.has(model)) return { preprocess: 0, encode: 0 };
    const start = performance.now();
    const image = preprocess(this.openPhoto(), model.predictor.manifest);
    const ready = performance.now();
    this.encoded.set(model, await model.predictor.encodePreprocessed(image));
    return { preprocess: ready - start, encode: performance.now() - ready };
  }

  /** @param {Choice} choice @param {PromptRequest} request */
  async predict(choice, request) {
    const { model, photo } = await this.encodedBy(choice);
    const start = performance.now();
    const input =
      request.refines === null ? null : (this.logits.get(`${keyOf(choice)} ${request.refines}`) ?? null);
    const prompt = new Prompt(request.points, request.box);
    const prediction = await model.predictor.predict(
      photo,
      prompt,
      input,
      this.upscalerAt(model, photo, request.shown),
    );
    const decoded = performance.now();
    const index = request.maskIndex ?? prediction.best;
    const mask = prediction.mask(index);
    if (request.step > 0) this.keep(choice, request, prediction, index, model, photo);
    return {
      mask: mask.pixels,
      share: mask.area / mask.pixels.length,
      scores: Array.from(prediction.scores),
      best: index,
      ms: { decode: decoded - start, postprocess: performance.now() - decoded },
    };
  }

  /**
   * The mask that another machine answered, as COCO run lengths.
   * @param {string} source @param {{size: number[], counts: string}} coco
   */
  foreign(source, { size: [height, width], counts }) {
    const photo = this.openPhoto();
    if (height !== photo.height || width !== photo.width) {
      throw new PromptError(
        'mask_input',
        `${source} answered a mask of ${height} x ${width}: open the photo again`,
      );
    }
    const mask = RunLengths.fromCoco(height, width, counts).decode();
    this.masks.set(source, mask);
    this.makers.set(source, () => mask);
  }

  /**
   * Where two answers agree (1), and where only the first (2) or the second (3) sees the object.
   * @param {string} first @param {string} second @param {Size} shown
   */
  difference(first, second, shown) {
    const [a, b] = [this.maskOf(first), this.maskOf(second)];
    let both = 0;
    let either = 0;
    for (let place = 0; place < a.pixels.length; place++) {
      both += a.pixels[place] & b.pixels[place];
      either += a.pixels[place] | b.pixels[place];
    }
    const kinds = [0, 2, 3, 1];
    const classes = sampled(
      a,
      shown,
      new Uint8Array(shown.height * shown.width),
      (place) => kinds[a.pixels[place] + 2 * b.pixels[place]],
    );
    return { classes, iou: either ? both / either : 1, pixels: either - both };
  }

  /** @param {Choice} choice @param {'fast' | 'exact'} mode @param {Size} shown */
  async everything(choice, mode, shown) {
    this.stopped = false;
    const { model, photo } = await this.encodedBy(choice);
    const start = performance.now();
    const settings = everythingSettings(model.predictor.manifest, { mode });
    const generator = new EverythingGenerator(model.predictor, settings, {
      progress: (progress) => this.toldAndBreathed({ everything: progress }),
      isCancelled: () => this.stopped,
    });
    const result = await generator.generate(photo);
    this.everythingFound = result;
    const { height, width } = photo.geometry;
    const map = LabelMap.of(result.objects, height, width);
    return {
      labels: sampled(map, shown, new Uint16Array(shown.height * shown.width), (place) => map.labels[place]),
      objects: result.objects.map(({ score, runs, box }) => ({
        score,
        share: runs.area / (height * width),
        box,
      })),
      ...{
        end: result.end,
        calls: result.decoderCalls,
        points: result.visited.length,
        ms: performance.now() - start,
      },
    };
  }

  /**
   * Makes an object of everything mode the mask of `choice`.
   * @param {Choice} choice @param {number} index @param {Size} shown
   */
  pick(choice, index, shown) {
    const object = this.everythingFound?.objects[index];
    if (!object) throw new RangeError(`there is no object ${index}`);
    const mask = object.runs.decode();
    this.makers.set(keyOf(choice), () => mask);
    const result = new Uint8Array(shown.height * shown.width);
    return { mask: sampled(mask, shown, result, (place) => mask.pixels[place]) };
  }

  /** The object under the mask of `choice`, everything else transparent, as a PNG. @param {Choice} choice */
  async cutOut(choice) {
    return { blob: await cutOutPicture(this.openPhoto(), this.maskOf(keyOf(choice))) };
  }

  /** The mask of `choice` as an annotation of COCO. @param {Choice} choice */
  coco(choice) {
    const runs = RunLengths.encode(this.maskOf(keyOf(choice)));
    return { segmentation: runs.toCoco(), area: runs.area, bbox: cocoBox(runs.box, runs.area), iscrowd: 0 };
  }

  /** All objects of everything mode as annotations of COCO. */
  everythingCoco() {
    return (this.everythingFound?.objects ?? []).map(({ runs, box, score, stability, point }, i) => ({
      ...{
        id: i + 1,
        segmentation: runs.toCoco(),
        area: runs.area,
        bbox: cocoBox(box, runs.area),
        iscrowd: 0,
      },
      ...{ predicted_iou: score, stability_score: stability, point_coords: [[point.x, point.y]] },
    }));
  }

  /** The photo's samples, uint8 RGB, for a runtime of the host. */
  pixels() {
    const { height, width, samples } = this.openPhoto();
    return { height, width, samples: samples.slice() };
  }

  /**
   * Replays the fixtures; the dump for `compare-dump`, and what each call took.
   * @param {Choice} choice @param {DeviceDescription} device
   */
  async check(choice, device) {
    this.stopped = false;
    const { config, base, runtime } = this.opened();
    const model = await this.opened().open(choice.recipe, choice.accelerator);
    const { manifest } = model.predictor;
    const fixtures = await FixtureSet.read(filesAt(new URL(config.fixtures ?? '', base)), manifest.labels);
    const dump = new DumpWriter();
    const replay = new Replay(model.predictor, fixtures, dump);
    await replay.run(async (done, total) => {
      await this.toldAndBreathed({ check: { done, total } });
      if (this.stopped) throw new Error('stopped');
    });
    const threads = runtime?.threads ?? 1;
    const blob = dump.finish(
      fixtures.id,
      device,
      {
        ...{
          runtime: RUNTIME,
          recipe: choice.recipe,
          artifactSha256: model.sha256,
          threads,
          loadMs: model.loadMs,
        },
        computeUnit: choice.accelerator === 'wasm' ? 'WebAssembly' : 'WebGPU',
        runtimeVersion: config.litert.version,
        peakMemoryBytes: runtime?.memoryBytes() ?? null,
      },
      replay.latencies,
    );
    return { blob, latencies: replay.latencies.byStep };
  }

  /** Bytes that the runtime holds; it never gives any back. */
  memory() {
    return { bytes: this.opened().runtime?.memoryBytes() ?? null };
  }

  opened() {
    if (!this.models) throw new Error('the page has not started its session');
    return this.models;
  }

  openPhoto() {
    if (!this.photo) throw new Error('no photo is open');
    return this.photo;
  }

  /** @param {Choice} choice */
  async encodedBy(choice) {
    await this.encode(choice);
    const model = await this.opened().open(choice.recipe, choice.accelerator);
    const photo = /** @type {EncodedPhoto} */ (this.encoded.get(model));
    return { model, photo };
  }

  /** @param {Model} model @param {EncodedPhoto} photo @param {Size} shown */
  upscalerAt({ predictor }, { geometry }, { height, width }) {
    const key = `${height} ${width}`;
    if (this.shownUpscaler?.key !== key) {
      this.shownUpscaler = { key, upscaler: predictor.upscaler(geometry.shownAt(height, width)) };
    }
    return this.shownUpscaler.upscaler;
  }

  /**
   * Keeps what a step answered: its logits for the next step, its mask for exports, made when one is asked for.
   * @param {Choice} choice @param {PromptRequest} request @param {Prediction} prediction @param {number} index
   * @param {Model} model @param {EncodedPhoto} photo
   */
  keep(choice, request, prediction, index, model, photo) {
    const key = keyOf(choice);
    const logits = prediction.logits[index].slice();
    this.logits.set(`${key} ${request.step}`, logits);
    for (const old of [...this.logits.keys()].slice(0, -KEPT_STEPS)) this.logits.delete(old);
    this.masks.delete(key);
    this.makers.set(key, () => model.predictor.upscaler(photo.geometry).mask(logits));
  }

  /** @param {string} source */
  maskOf(source) {
    const made = this.masks.get(source) ?? this.makers.get(source)?.();
    if (!made) throw new Error('there is no mask yet: click on the photo first');
    this.masks.set(source, made);
    return made;
  }

  /** Tells the page, and lets a `stop` come in. @param {unknown} progress @returns {Promise<void>} */
  toldAndBreathed(progress) {
    this.tell(progress);
    return new Promise((resolve) => setTimeout(resolve, 0));
  }
}

/** The name of who answered. @param {Choice} choice */
export function keyOf({ recipe, accelerator }) {
  return `${recipe} ${accelerator}`;
}

/**
 * Fills `result` (the shown size) with what `value` says of a sheet's pixels; of each shown pixel the centre counts.
 * @template {Uint8Array | Uint16Array} T @param {Size} sheet @param {Size} shown @param {T} result
 * @param {(place: number) => number} value @returns {T}
 */
function sampled(sheet, shown, result, value) {
  const columns = Int32Array.from({ length: shown.width }, (_, x) =>
    Math.floor(((x + 0.5) * sheet.width) / shown.width),
  );
  for (let y = 0, target = 0; y < shown.height; y++) {
    const row = Math.floor(((y + 0.5) * sheet.height) / shown.height) * sheet.width;
    for (let x = 0; x < shown.width; x++) result[target++] = value(row + columns[x]);
  }
  return result;
}

/** x, y, width, height. @param {import('../core/Box.js').Box} box @param {number} area */
function cocoBox({ x0, y0, x1, y1 }, area) {
  return area ? [x0, y0, x1 - x0 + 1, y1 - y0 + 1] : [0, 0, 0, 0];
}
