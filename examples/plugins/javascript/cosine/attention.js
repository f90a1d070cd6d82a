// Attention by the angle between queries and keys (Henry et al. 2020, arXiv:2010.04245).

import { Attention, label, number, parameter } from "./vitral.js";

const unit = (x) => x.div(x.reduceSumSquare([3], { keepDimensions: true }).add(1e-6).sqrt());

/** Softmax attention over cosines, times a learned scale in each head. */
export default class Cosine extends Attention {
  static plugin = {
    name: "cosine",
    summary: "Softmax attention over cosines, with a learned scale in each head",
    parameters: {
      start: number(10, "The scale that each head starts with; the larger, the sharper its attention.", {
        min: 0.01,
        max: 100,
      }),
    },
    examples: { "Even at the start": { start: 1 } },
  };

  trace(layer, query, key, value) {
    const scale = parameter("scale", [layer.heads, 1, 1], this.start);
    const scores = label("scores", () => {
      return unit(query).matmul(unit(key).transpose([0, 1, 3, 2])).mul(scale);
    });
    const weights = label("weights", () => scores.softmax(3).dropout(layer.dropout));
    return weights.matmul(value);
  }
}
