// Symbolic tensors: ops on them are recorded, not computed.
//
// Ops have the names and meanings of the W3C WebNN operators; `vitral plugin contract ops` lists them. An op that does
// not fit is reported when the trace ends, with its label and all shapes.

import { Ops, appliedBy } from "./ops.js";

/** What the host offers while it traces; none in a plugin that traces nothing. */
let host = null;

/** Called once by what makes the component. */
export function connect(tensors) {
  host = tensors;
}

/** A multiple of the batch, as a dimension of a shape: `B`, `B.times(4)`. */
class Dim {
  constructor(count) {
    this.count = count;
  }

  times(factor) {
    return new Dim(this.count * factor);
  }

  over(divisor) {
    if (this.count % divisor !== 0) throw new Error(`${this} cannot be divided by ${divisor}`);
    return new Dim(this.count / divisor);
  }

  toString() {
    return this.count === 1 ? "B" : `${this.count}B`;
  }
}

/** The batch. */
export const B = new Dim(1);

function dim(text) {
  return text.endsWith("B") ? new Dim(Number(text.slice(0, -1) || 1)) : Number(text);
}

/** A symbolic tensor of the trace that is going on; of use only during the call that gave it. */
export class Tensor extends Ops {
  constructor(handle, isOwn = true) {
    super();
    this.handle = handle;
    this.isOwn = isOwn;
  }

  /** The dimensions: numbers, and multiples of the batch; undefined if the tensor follows from an error. */
  get shape() {
    const found = this.handle.type();
    if (found === undefined) return undefined;
    const inside = found.slice(found.indexOf("[") + 1, -1);
    return inside ? inside.split(",").map(dim) : [];
  }

  /** `f32`, `i32` or `bool`; undefined if the tensor follows from an error. */
  get dtype() {
    const found = this.handle.type();
    return found?.slice(0, found.indexOf("["));
  }
}

/** A number as a tensor of the same type as another. */
function number(value, like) {
  if (value instanceof Tensor) return value;
  if (typeof value !== "number") throw new TypeError(`an op takes tensors and numbers, not ${typeof value}`);
  const dtype = like?.dtype ?? "f32";
  return apply("constant", [], [
    ["type", "text", `${dtype}[]`],
    ["values", "numbers", [value]],
  ])[0];
}

/** Tensors, with numbers among them as constants of the others' type. */
function operands(op, given) {
  // A condition has a type of its own.
  const typed = op === "where" ? given.slice(1) : given;
  const like = typed.find((operand) => operand instanceof Tensor);
  return given.map((operand) => number(operand, like));
}

function text(value) {
  return Array.isArray(value) ? `[${value.map(String).join(", ")}]` : String(value);
}

const VALUES = {
  boolean: (value) => ({ tag: "boolean", val: Boolean(value) }),
  integer: (value) => ({ tag: "integer", val: BigInt(value) }),
  number: (value) => ({ tag: "number", val: Number(value) }),
  integers: (value) => ({ tag: "integers", val: BigInt64Array.from(value, BigInt) }),
  numbers: (value) => ({ tag: "numbers", val: Float64Array.from(Array.isArray(value) ? value : [value]) }),
  text: (value) => ({ tag: "text", val: text(value) }),
};

const labels = [];

/** Names the ops inside, for errors and for people who read the program. Labels nest: `outer/inner`. */
export function label(name, inside) {
  labels.push(name);
  try {
    return inside();
  } finally {
    labels.pop();
  }
}

/** Applies an op by name, with attributes as `[name, kind, value]`; gives its results. */
export function apply(op, given, attributes) {
  const passed = attributes
    .filter(([, , value]) => value !== undefined)
    .map(([name, kind, value]) => ({ name, value: VALUES[kind](value) }));
  const handles = operands(op, given).map((operand) => operand.handle);
  return host.apply(op, passed, handles, labels.join("/")).map((handle) => new Tensor(handle));
}

appliedBy(apply);

/** How parameters start: the same value everywhere, normal, normal cut at two deviations, uniform. */
export const constantly = (value) => ({ tag: "constant", val: value });
export const normal = (deviation) => ({ tag: "normal", val: deviation });
export const truncatedNormal = (deviation) => ({ tag: "truncated-normal", val: deviation });
export const uniform = (limit) => ({ tag: "uniform", val: limit });
export const xavierUniform = (inputs, outputs) => ({ tag: "xavier-uniform", val: { inputs, outputs } });

/**
 * Declares a trainable `f32` parameter, which the trainer owns, optimises and saves. `start` is a number or an
 * initialiser; `decay` says whether weight decay applies.
 */
export function parameter(name, shape, start, decay = false) {
  if (shape.some((side) => side instanceof Dim)) {
    throw new Error(`parameter \`${name}\` has the batch in its shape`);
  }
  const initializer = typeof start === "number" ? constantly(start) : start;
  return new Tensor(host.parameter(name, Uint32Array.from(shape), initializer, decay));
}

/** A tensor that the host lends for the call. */
export function lent(handle) {
  return new Tensor(handle, false);
}

/** The handles of results, each a tensor of its own: neither lent nor given twice. */
export function given(tensors) {
  return tensors.map((tensor) => {
    if (!(tensor instanceof Tensor)) throw new TypeError(`a trace gives tensors, not ${typeof tensor}`);
    const own = tensor.isOwn ? tensor : tensor.identity();
    own.isOwn = false;
    return own.handle;
  });
}
