// TEMPLATE_SUMMARY.

import { ImageAugmentation, integer, number } from "./vitral.js";

/** Inverts what is bright. */
export default class TemplateType extends ImageAugmentation {
  static plugin = {
    name: "template-name",
    summary: "TEMPLATE_SUMMARY",
    parameters: {
      probability: number(0.2, "How likely an image is changed.", { min: 0, max: 1 }),
      threshold: integer(128, "Values from this one on are inverted.", { min: 0, max: 255 }),
    },
    examples: { "Every image as a negative": { probability: 1, threshold: 0 } },
  };

  augment(image, sample) {
    const random = sample.random();
    if (random() >= this.probability) return undefined;
    const { pixels } = image;
    const threshold = this.threshold;
    for (let at = 0; at < pixels.length; at++) {
      if (pixels[at] >= threshold) pixels[at] = 255 - pixels[at];
    }
    return image;
  }
}
