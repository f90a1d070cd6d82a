// TEMPLATE_SUMMARY.

import { BatchAugmentation, label, number, random } from "./vitral.js";

/** Mixes each image with its mirror place in the batch. */
export default class TemplateType extends BatchAugmentation {
  static plugin = {
    name: "template-name",
    summary: "TEMPLATE_SUMMARY",
    parameters: {
      alpha: number(
        0.2,
        "Both parameters of the beta distribution that the weight of a batch is drawn from: the larger, the more " +
          "even the mix.",
        { min: 0.01, max: 100 },
      ),
    },
    examples: { "Every weight is as likely as any other": { alpha: 1 } },
  };

  trace(batch, images, targets) {
    const { alpha } = this;
    const weight = label("weight", () => random([1], { distribution: "beta", alpha, beta: alpha }));
    const rest = weight.neg().add(1);
    const mix = (values) => weight.mul(values).add(rest.mul(values.reverse([0])));
    return [label("images", () => mix(images)), label("targets", () => mix(targets))];
  }
}
