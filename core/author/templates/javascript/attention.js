// TEMPLATE_SUMMARY.

import { Attention, label, number, parameter } from "./vitral.js";

/** Softmax attention whose scores have a learned temperature in each head. */
export default class TemplateType extends Attention {
  static plugin = {
    name: "template-name",
    summary: "TEMPLATE_SUMMARY",
    parameters: {
      start: number(1, "The temperature that each head starts with; the lower, the sharper its attention.", {
        min: 0.01,
        max: 100,
      }),
    },
    examples: { "Sharp from the start": { start: 0.5 } },
  };

  trace(layer, query, key, value) {
    const sharpness = parameter("sharpness", [layer.heads, 1, 1], 1 / this.start);
    const scores = label("scores", () => {
      return query.matmul(key.transpose([0, 1, 3, 2])).div(Math.sqrt(layer.headWidth));
    });
    const weights = label("weights", () => scores.mul(sharpness).softmax(3).dropout(layer.dropout));
    return weights.matmul(value);
  }
}
