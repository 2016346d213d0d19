import { EngineError } from '../core/Errors.js';
import { Contract, entryPointOf } from '../core/Manifest.js';
import { DecoderAnswer } from '../core/SegmentationEngine.js';

/** @import { Manifest, Artifact, TensorSpec } from '../core/Manifest.js' */
/** @import { Preprocessed } from '../core/Preprocess.js' */
/** @import { PackedPrompts } from '../core/Prompts.js' */
/** @import { ImageFeatures } from '../core/Features.js' */
/** @import { SegmentationEngine } from '../core/SegmentationEngine.js' */
/** @import { LiteRt } from './LiteRtLoader.js' */
/** @typedef {import('@litertjs/core').CompiledModel} CompiledModel */
/** @typedef {import('@litertjs/core').Tensor} Tensor */
/** @typedef {'wasm' | 'webgpu'} Accelerator */

/**
 * The contract's entry points on LiteRT.js.
 *
 * What `encode` returned stays in the runtime's memory as tensors until `release`, so that a click copies its few
 * points only.
 * @implements {SegmentationEngine}
 */
export class LiteRtEngine {
  /**
   * @param {LiteRt} litert @param {Manifest} manifest
   * @param {{encoder: Artifact, decoder: Artifact}} artifacts
   * @param {{encoder: CompiledModel, decoder: CompiledModel}} models
   */
  constructor(litert, manifest, artifacts, models) {
    this.litert = litert;
    this.manifest = manifest;
    this.artifacts = artifacts;
    this.models = models;
    /** @type {Map<ImageFeatures, Record<string, Tensor>>} */
    this.kept = new Map();
    const { maskSize } = manifest.sizes;
    this.noMask = new Float32Array(maskSize ** 2);
  }

  /**
   * Compiles the two files; rejects with `EngineError` if the runtime refuses one.
   * @param {LiteRt} litert @param {Manifest} manifest @param {{encoder: Artifact, decoder: Artifact}} artifacts
   * @param {{encoder: Uint8Array, decoder: Uint8Array}} files @param {Accelerator} accelerator
   */
  static async open(litert, manifest, artifacts, files, accelerator) {
    const compile = (/** @type {'encoder' | 'decoder'} */ component) =>
      litert.loadAndCompile(files[component], { accelerator }).catch((/** @type {Error} */ error) => {
        throw new EngineError(
          `${artifacts[component].path} does not load on ${accelerator}: ${error.message}`,
        );
      });
    const encoder = await compile('encoder');
    const decoder = await compile('decoder');
    return new LiteRtEngine(litert, manifest, artifacts, { encoder, decoder });
  }

  /** @param {Preprocessed} image @returns {Promise<ImageFeatures>} */
  async encode({ image, geometry }) {
    const inputs = {
      [Contract.IMAGE]: image,
      [Contract.VALID_SIZE]: Int32Array.of(geometry.validHeight, geometry.validWidth),
    };
    const outputs = await this.run('encoder', Contract.ENCODE, inputs, {});
    /** @type {ImageFeatures} */
    const features = { values: outputs };
    const specs = this.manifest.entryPoints[Contract.ENCODE].outputs;
    this.kept.set(
      features,
      Object.fromEntries(specs.map((spec) => [spec.name, this.tensor(outputs[spec.name], spec)])),
    );
    return features;
  }

  /** @param {ImageFeatures} features @param {PackedPrompts} prompt @param {Float32Array | null} maskInput */
  decode(features, prompt, maskInput) {
    return this.answer(Contract.DECODE, features, {
      [Contract.POINT_COORDS]: prompt.coords,
      [Contract.POINT_LABELS]: prompt.labels,
      [Contract.MASK_INPUT]: maskInput ?? this.noMask,
      [Contract.HAS_MASK_INPUT]: Float32Array.of(maskInput ? 1 : 0),
    });
  }

  /** @param {ImageFeatures} features @param {PackedPrompts} prompts */
  decodeBatch(features, prompts) {
    return this.answer(Contract.DECODE_BATCH, features, {
      [Contract.POINT_COORDS]: prompts.coords,
      [Contract.POINT_LABELS]: prompts.labels,
    });
  }

  get canScore() {
    const name = Contract.SCORE_BATCH;
    return name in this.manifest.entryPoints && name in this.artifacts.decoder.entryPoints;
  }

  /** @param {ImageFeatures} features @param {PackedPrompts} prompts */
  async scoreBatch(features, prompts) {
    const outputs = await this.runDecoder(Contract.SCORE_BATCH, features, {
      [Contract.POINT_COORDS]: prompts.coords,
      [Contract.POINT_LABELS]: prompts.labels,
    });
    return outputs[Contract.IOU_PREDICTIONS];
  }

  /** @param {ImageFeatures} features */
  release(features) {
    for (const tensor of Object.values(this.kept.get(features) ?? {})) tensor.delete();
    this.kept.delete(features);
  }

  close() {
    for (const features of [...this.kept.keys()]) this.release(features);
    this.models.encoder.delete();
    this.models.decoder.delete();
  }

  /**
   * @param {string} name @param {ImageFeatures} features
   * @param {Record<string, Float32Array | Int32Array>} prompts
   */
  async answer(name, features, prompts) {
    const outputs = await this.runDecoder(name, features, prompts);
    const { masksPerPrompt, sizes } = this.manifest;
    const logits = outputs[Contract.LOW_RES_MASKS];
    return new DecoderAnswer(logits, outputs[Contract.IOU_PREDICTIONS], masksPerPrompt, sizes.maskSize);
  }

  /**
   * @param {string} name @param {ImageFeatures} features
   * @param {Record<string, Float32Array | Int32Array>} prompts
   */
  runDecoder(name, features, prompts) {
    const kept = this.kept.get(features);
    if (!kept) throw new EngineError('this photo was released: encode it again');
    return this.run('decoder', name, prompts, kept);
  }

  /**
   * Runs one entry point; `kept` tensors go in as they are, `values` are copied.
   * @param {'encoder' | 'decoder'} component @param {string} name
   * @param {Record<string, Float32Array | Int32Array>} values @param {Record<string, Tensor>} kept
   * @returns {Promise<Record<string, Float32Array>>}
   */
  async run(component, name, values, kept) {
    const { inputs, outputs } = this.manifest.entryPoints[name];
    /** @type {Tensor[]} */
    const given = [];
    /** @type {Record<string, Tensor>} */
    const named = {};
    for (const spec of inputs) {
      // Of the kept ones those that this entry point takes.
      if (kept[spec.name]) named[spec.name] = kept[spec.name];
      if (values[spec.name]) given.push((named[spec.name] = this.tensor(values[spec.name], spec)));
    }
    const signature = entryPointOf(this.artifacts[component], name);
    try {
      const answers = await this.models[component].run(signature, named);
      return await this.take(answers, outputs, name);
    } catch (error) {
      if (error instanceof EngineError) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new EngineError(`${this.artifacts[component].path} failed in ${name}: ${reason}`);
    } finally {
      for (const tensor of given) tensor.delete();
    }
  }

  /**
   * Copies the outputs out of the runtime and frees them.
   * @param {Record<string, Tensor>} answers @param {TensorSpec[]} specs @param {string} name
   */
  async take(answers, specs, name) {
    /** @type {Record<string, Float32Array>} */
    const found = {};
    for (const spec of specs) {
      const data = await answers[spec.name]?.data();
      const count = spec.shape.reduce((product, side) => product * side, 1);
      if (!(data instanceof Float32Array) || data.length !== count) {
        throw new EngineError(
          `${name} answered ${spec.name} with ${data?.length ?? 'no'} numbers instead of ${count}`,
        );
      }
      found[spec.name] = data;
    }
    for (const tensor of Object.values(answers)) tensor.delete();
    return found;
  }

  /** @param {Float32Array | Int32Array} values @param {TensorSpec} spec */
  tensor(values, spec) {
    return new this.litert.Tensor(values, spec.shape);
  }
}
