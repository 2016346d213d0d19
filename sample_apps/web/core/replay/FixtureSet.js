import { RecordingError } from '../Errors.js';
import { JsonFields } from '../JsonFields.js';
import { readSizes } from '../ManifestReader.js';
import { Prompt } from '../Prompts.js';
import { RGB_CHANNELS, RgbImage } from '../RgbImage.js';
import { readBytes, readFloats, readText } from './FileTree.js';

/** @import { ModelSizes, PromptLabels } from '../Manifest.js' */
/** @import { FileTree } from './FileTree.js' */

/** Of the layout that fixtures and dumps share (docs/device_loop.md). */
export const LAYOUT_VERSION = 1;

const INDEX = 'fixtures.json';

/**
 * A photo of the fixtures, and a prompt of it; `name` is the folder of its tensors.  `spareXy` goes into x and y of
 * every unused slot, where it must change nothing.
 * @typedef {{name: string, title: string, height: number, width: number, prompts: FixturePrompt[]}} FixturePhoto
 * @typedef {{name: string, prompt: Prompt, hasMaskInput: boolean, spareXy: number}} FixturePrompt
 */

/**
 * Photos and prompts that the app replays, as `tinysam-mobile fixtures` wrote them; `id` goes into the dump.
 *
 * `read` checks the index; tensors are read when they are asked for, and checked then.
 */
export class FixtureSet {
  /**
   * @param {FileTree} files @param {string} id
   * @param {ModelSizes} sizes @param {FixturePhoto[]} photos
   */
  constructor(files, id, sizes, photos) {
    this.files = files;
    this.id = id;
    this.sizes = sizes;
    this.photos = photos;
  }

  /**
   * Opens a fixtures folder; rejects with `RecordingError` that names what is wrong with its index.
   * @param {FileTree} files @param {PromptLabels} labels
   */
  static async read(files, labels) {
    const index = JsonFields.parse(await readText(files, INDEX), INDEX, RecordingError);
    const version = index.integer('layout_version');
    if (version !== LAYOUT_VERSION) {
      throw new RecordingError(
        `${INDEX} has layout version ${version}, this library reads ${LAYOUT_VERSION}`,
      );
    }
    const photos = index.objects('photos').map((photo, i) => readPhoto(`photo_${i}`, photo, labels));
    return new FixtureSet(files, index.text('id'), readSizes(index.fields('sizes')), photos);
  }

  /** The photo's pixels; rejects with `RecordingError` for a damaged file. @param {FixturePhoto} photo */
  async pixels({ name, height, width }) {
    const samples = await readBytes(this.files, `${name}/pixels.bin`, height * width * RGB_CHANNELS);
    return new RgbImage(height, width, samples);
  }

  /** The prompt's mask prompt (m, m), or null if it has none. @param {FixturePrompt} prompt */
  async maskInput({ name, hasMaskInput }) {
    if (!hasMaskInput) return null;
    return readFloats(this.files, `${name}/mask_input.bin`, this.sizes.maskSize ** 2);
  }

  /**
   * What the float model answered at a stage of a photo or prompt, `count` float32.
   * @param {string} owner @param {string} stage @param {number} count
   */
  expected(owner, stage, count) {
    return readFloats(this.files, `${owner}/${stage}.bin`, count);
  }
}

/** @param {string} name @param {JsonFields} fields @param {PromptLabels} labels */
function readPhoto(name, fields, labels) {
  return {
    name,
    title: fields.text('title'),
    height: fields.positiveInteger('height'),
    width: fields.positiveInteger('width'),
    prompts: fields.objects('prompts').map((prompt, i) => ({
      name: `${name}/prompt_${i}`,
      prompt: readPrompt(prompt, labels),
      hasMaskInput: prompt.flag('has_mask_input'),
      spareXy: prompt.number('spare_xy'),
    })),
  };
}

/**
 * Reads `points`, `labels` and `box`; throws `PromptError` for a prompt that is none.
 * @param {JsonFields} fields @param {PromptLabels} labels
 */
export function readPrompt(fields, labels) {
  const box = fields.isNull('box') ? null : fields.numbers('box');
  return Prompt.of(fields.numbers('points'), fields.integers('labels'), box, labels);
}
