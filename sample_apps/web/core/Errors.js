/**
 * Everything that this library throws on purpose.  Each message says what is wrong, where, and what to do.
 *
 * TinySamError
 *   ManifestError      manifest.json is damaged, or of another version
 *   ImageError         a photo without pixels, or whose buffer has another length
 *   PromptError        a prompt that the model cannot take; `fault` says why
 *   SettingsError      settings of everything mode that contradict each other
 *   RunLengthError     run lengths that are no mask; `fault` says why
 *   RecordingError     fixtures or recordings that are damaged, or hold no answer to what is asked
 *   EngineError        a model that does not load, or answers with other shapes
 */
export class TinySamError extends Error {
  /** @param {string} message @param {ErrorOptions} [options] */
  constructor(message, options) {
    super(message, options);
    this.name = new.target.name;
  }
}

export class ManifestError extends TinySamError {}

export class ImageError extends TinySamError {}

/**
 * @typedef {'too_many_slots' | 'point_outside' | 'box_outside' | 'box_order' | 'bad_label' | 'label_count' |
 *   'not_finite' | 'empty' | 'mask_input' | 'negative_point'} PromptFault
 */
export class PromptError extends TinySamError {
  /** @param {PromptFault} fault @param {string} message */
  constructor(fault, message) {
    super(message);
    this.fault = fault;
  }
}

export class SettingsError extends TinySamError {}

/** @typedef {'cut' | 'alphabet' | 'too_long' | 'sum'} RunLengthFault */
export class RunLengthError extends TinySamError {
  /** @param {RunLengthFault} fault @param {string} message */
  constructor(fault, message) {
    super(message);
    this.fault = fault;
  }
}

export class RecordingError extends TinySamError {}

export class EngineError extends TinySamError {}
