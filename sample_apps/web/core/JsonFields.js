/**
 * An object of a JSON document whose fields are read with their kinds checked.  What is wrong becomes an error of
 * the kind `fail`, which names the document and the field.
 */
export class JsonFields {
  /**
   * @param {unknown} value @param {string} place of the object in its document
   * @param {new (message: string) => Error} fail
   */
  constructor(value, place, fail) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new fail(`${place} must be an object`);
    }
    this.values = /** @type {Record<string, unknown>} */ (value);
    this.place = place;
    this.fail = fail;
  }

  /**
   * @param {string} text @param {string} place the document's name
   * @param {new (message: string) => Error} fail
   */
  static parse(text, place, fail) {
    try {
      return new JsonFields(JSON.parse(text), place, fail);
    } catch (error) {
      if (error instanceof SyntaxError) throw new fail(`${place} is not valid JSON: ${error.message}`);
      throw error;
    }
  }

  get keys() {
    return Object.keys(this.values);
  }

  /** @param {string} key @param {string} expected @returns {never} */
  wrong(key, expected) {
    throw new this.fail(`${this.place}: '${key}' must be ${expected}`);
  }

  /** Whether the field is missing or null. @param {string} key */
  isNull(key) {
    return !Object.hasOwn(this.values, key) || this.values[key] === null;
  }

  /** @param {string} key */
  fields(key) {
    return new JsonFields(this.value(key), `${this.place}, '${key}'`, this.fail);
  }

  /** @param {string} key */
  objects(key) {
    return this.list(key).map((item, i) => new JsonFields(item, `${this.place}, '${key}'[${i}]`, this.fail));
  }

  /** @param {string} key */
  text(key) {
    const value = this.value(key);
    return typeof value === 'string' ? value : this.wrong(key, 'a text');
  }

  /** @param {string} key */
  flag(key) {
    const value = this.value(key);
    return typeof value === 'boolean' ? value : this.wrong(key, 'true or false');
  }

  /** @param {string} key */
  number(key) {
    const value = this.value(key);
    return typeof value === 'number' ? value : this.wrong(key, 'a number');
  }

  /** @param {string} key */
  integer(key) {
    const value = this.number(key);
    return Number.isSafeInteger(value) ? value : this.wrong(key, 'a whole number');
  }

  /** @param {string} key */
  positiveInteger(key) {
    const value = this.integer(key);
    return value >= 1 ? value : this.wrong(key, 'at least 1');
  }

  /** @param {string} key @returns {number[]} */
  numbers(key) {
    const list = this.list(key);
    return list.every((item) => typeof item === 'number') ? list : this.wrong(key, 'a list of numbers');
  }

  /** @param {string} key */
  integers(key) {
    const numbers = this.numbers(key);
    return numbers.every(Number.isSafeInteger) ? numbers : this.wrong(key, 'a list of whole numbers');
  }

  /** @param {string} key @returns {unknown[]} */
  list(key) {
    const value = this.value(key);
    return Array.isArray(value) ? value : this.wrong(key, 'a list');
  }

  /** @param {string} key */
  value(key) {
    return Object.hasOwn(this.values, key) ? this.values[key] : this.wrong(key, 'there, and it is missing');
  }
}
