// Write a plugin for Vitral in JavaScript.
//
// A plugin is the default export of a file that is named for its kind: `image_augmentation.js`,
// `batch_augmentation.js`, `attention.js` or `monitor.js`. `vitral plugin build` makes a component of it.

export { concat, constant, random, range } from "./ops.js";
export {
  B,
  Tensor,
  apply,
  constantly,
  label,
  normal,
  parameter,
  truncatedNormal,
  uniform,
  xavierUniform,
} from "./tensor.js";

const LEAST = -(2n ** 63n);
const MOST = 2n ** 63n - 1n;

/** What users set. A parameter without a default must be set. */
export const boolean = (fallback, doc) => ({ kind: "boolean", fallback, doc });
export const integer = (fallback, doc, { min = LEAST, max = MOST } = {}) => ({
  kind: "integer",
  fallback,
  doc,
  min,
  max,
});
export const number = (fallback, doc, { min = -Number.MAX_VALUE, max = Number.MAX_VALUE } = {}) => ({
  kind: "number",
  fallback,
  doc,
  min,
  max,
});
export const choice = (fallback, doc, choices) => ({ kind: "choice", fallback, doc, choices });
export const text = (fallback, doc) => ({ kind: "text", fallback, doc });
export const integers = (fallback, doc, range = {}) => ({ ...integer(fallback, doc, range), kind: "integers" });
export const numbers = (fallback, doc, range = {}) => ({ ...number(fallback, doc, range), kind: "numbers" });

/**
 * What every plugin has. `static plugin` says what it is: `name`, `version`, `summary`, `parameters` by name, and
 * `examples`, documented configurations that `vitral plugin check` tries.
 */
class Plugin {
  /** Called once all parameters have their values, as fields of the instance; throws to refuse them. */
  configured() {}
}

/**
 * Changes one image in a data worker: `augment(image, sample)` gives the changed image, or nothing. An image has
 * `width`, `height`, `channels` and `pixels`, a Uint8Array: rows from top to bottom, channels innermost.
 */
export class ImageAugmentation extends Plugin {}

/** Changes a batch, as a tensor program: `trace(batch, images, targets)` gives `[images, targets]`. */
export class BatchAugmentation extends Plugin {}

/** A layer's attention, as a tensor program: `trace(layer, query, key, value)` gives the output. */
export class Attention extends Plugin {}

/**
 * Hears of what happens in a run: `started`, `experiment`, `stepped`, `layers`, `evaluated`, `saved`, `ended`, `data`
 * and `rolledBack` are called where they are there, and give what they ask for: an action, a list, or nothing.
 */
export class Monitor extends Plugin {
  /** It hears of every so manieth step, and of parameters' statistics; 0 is never. */
  everySteps = 0;
  everyLayers = 0;
  /** What a resumed run needs to go on as if it had never stopped: whatever JSON can hold. */
  state = {};
}

/** What a monitor may ask for. */
export const metric = (name, value) => ({ tag: "metric", val: { name, value } });
export const warn = (message) => ({ tag: "warn", val: message });
export const scaleLearningRate = (factor, reason) => ({ tag: "scale-learning-rate", val: { factor, reason } });
export const save = (reason) => ({ tag: "save", val: reason });
export const rollBack = (factor, reason) => ({ tag: "roll-back", val: { factor, reason } });
export const stop = (reason) => ({ tag: "stop", val: reason });

/** One image's place in a run. */
export class Sample {
  constructor({ seed, epoch, size }) {
    this.seed = seed;
    this.epoch = epoch;
    this.size = size;
  }

  /** A generator from the sample's seed (SplitMix64): the same sample gives the same numbers, from 0 to below 1. */
  random() {
    let state = this.seed;
    return () => {
      state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
      let mixed = state;
      mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 30n)) * 0xbf58476d1ce4e5b9n);
      mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 27n)) * 0x94d049bb133111ebn);
      mixed ^= mixed >> 31n;
      return Number(mixed >> 11n) / 2 ** 53;
    };
  }
}
