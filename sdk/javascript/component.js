// What a component exports, by way of the plugin's class.

import { given, lent } from "./tensor.js";
import { Sample } from "./vitral.js";

const TEXT = new TextEncoder();
const BYTES = new TextDecoder();

/** The wrapped value, with what it says where it fails: the message, and what kind of error it is if it is no refusal. */
function calling(call) {
  return (...given) => {
    try {
      return call(...given);
    } catch (error) {
      // What is no `Error` is the host's or the engine's own.
      if (!(error instanceof Error)) throw error;
      throw error.constructor === Error ? error.message : `${error.name}: ${error.message}`;
    }
  };
}

const VALUES = {
  boolean: (value) => ({ tag: "boolean", val: value }),
  integer: (value) => ({ tag: "integer", val: BigInt(value) }),
  number: (value) => ({ tag: "number", val: value }),
  choice: (value) => ({ tag: "text", val: value }),
  text: (value) => ({ tag: "text", val: value }),
  integers: (value) => ({ tag: "integers", val: BigInt64Array.from(value, BigInt) }),
  numbers: (value) => ({ tag: "numbers", val: Float64Array.from(value) }),
};

/** A setting as authors have it: integers are numbers, and lists are arrays. */
function plain({ tag, val }) {
  if (tag === "integer") return Number(val);
  if (tag === "integers") return Array.from(val, Number);
  return tag === "numbers" ? Array.from(val) : val;
}

function type({ kind, min, max, choices }) {
  if (kind === "choice") return { tag: kind, val: choices };
  if (kind.startsWith("integer")) return { tag: kind, val: { min: BigInt(min), max: BigInt(max) } };
  if (kind.startsWith("number")) return { tag: kind, val: { min, max } };
  return { tag: kind };
}

/** The exports of a plugin's class. */
export function component(Plugin) {
  const { name, version = "0.1.0", summary, parameters = {}, examples = {} } = Plugin.plugin;
  let plugin;

  const configure = (settings) => {
    const made = new Plugin();
    for (const { name, value } of settings) made[name] = plain(value);
    made.configured();
    plugin = made;
  };

  const hear = (method, report) => {
    const asked = plugin[method]?.(report) ?? [];
    return Array.isArray(asked) ? asked : [asked];
  };

  return {
    description: {
      describe: () => ({
        name,
        version,
        summary,
        parameters: Object.entries(parameters).map(([name, it]) => ({
          name,
          doc: it.doc,
          type: type(it),
          default: it.fallback === undefined ? undefined : VALUES[it.kind](it.fallback),
        })),
        examples: Object.entries(examples).map(([title, settings]) => ({
          title,
          settings: Object.entries(settings).map(([name, value]) => ({
            name,
            value: VALUES[parameters[name].kind](value),
          })),
        })),
      }),
    },
    imageAugmentations: {
      configure: calling(configure),
      augment: calling((image, sample) => plugin.augment(image, new Sample(sample)) ?? undefined),
    },
    attentions: {
      configure: calling(configure),
      trace: calling((layer, query, key, value) => {
        return given([plugin.trace(layer, lent(query), lent(key), lent(value))])[0];
      }),
    },
    batchAugmentations: {
      configure: calling(configure),
      trace: calling((batch, images, targets) => {
        const [changed, labels] = given(plugin.trace(batch, lent(images), lent(targets)));
        return { images: changed, targets: labels };
      }),
    },
    monitors: {
      configure: calling((settings) => {
        configure(settings);
        return { steps: plugin.everySteps, layers: plugin.everyLayers };
      }),
      observe: calling(({ tag, val }) => hear(tag, val)),
      save: () => TEXT.encode(JSON.stringify(plugin.state)),
      restore: calling((state) => {
        plugin.state = state.length ? JSON.parse(BYTES.decode(state)) : {};
      }),
    },
    dataMonitors: { observeData: calling((report) => hear("data", report)) },
    rollBackMonitors: { observeRollBack: calling((report) => hear("rolledBack", report)) },
    configurationMonitors: { observeConfiguration: calling((report) => hear("experiment", report)) },
  };
}
