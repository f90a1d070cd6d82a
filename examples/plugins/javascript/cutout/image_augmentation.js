// Fills a square of an image (DeVries and Taylor 2017, arXiv:1708.04552).

import { ImageAugmentation, integer, number } from "./vitral.js";

/** A square around a random pixel; what of it is outside of the image is cut off. */
export default class Cutout extends ImageAugmentation {
  static plugin = {
    name: "cutout",
    summary: "Fills a square of images",
    parameters: {
      probability: number(0.5, "How likely an image is changed.", { min: 0, max: 1 }),
      size: number(0.5, "Side of the square, relative to the image's shorter side.", { min: 0, max: 1 }),
      value: integer(128, "What the square is filled with.", { min: 0, max: 255 }),
    },
    examples: { "Every image, black": { probability: 1, value: 0 } },
  };

  augment(image, sample) {
    const { width, height, channels, pixels } = image;
    const random = sample.random();
    if (random() >= this.probability) return undefined;
    const side = Math.floor(this.size * Math.min(width, height) + 0.5);
    const left = Math.floor(random() * width) - Math.floor(side / 2);
    const top = Math.floor(random() * height) - Math.floor(side / 2);
    const [start, end] = [Math.max(left, 0), Math.min(left + side, width)];
    for (let row = Math.max(top, 0); row < Math.min(top + side, height); row++) {
      pixels.fill(this.value, (row * width + start) * channels, (row * width + end) * channels);
    }
    return image;
  }
}
