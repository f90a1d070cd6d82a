// Lowers the learning rate where the validation loss stays.

import { Monitor, integer, number, scaleLearningRate } from "./vitral.js";

/** Counts the evaluations since the best. */
export default class Plateau extends Monitor {
  static plugin = {
    name: "plateau",
    summary: "Lowers the learning rate when the validation loss stops improving",
    parameters: {
      factor: number(0.5, "What the learning rate is multiplied by.", { min: 0.01, max: 1 }),
      patience: integer(2, "Evaluations without a better loss after which that is done.", { min: 1, max: 1000 }),
      min_delta: number(0, "By how much a loss must be below the best before.", { min: 0, max: 1000 }),
    },
    examples: { "A tenth, at once": { factor: 0.1, patience: 1 } },
  };

  // What a resumed run goes on from. JSON has no infinity: there is no best at first.
  state = {};

  evaluated({ loss }) {
    const { best = Infinity, waited = 0 } = this.state;
    if (loss < best - this.min_delta) {
      this.state = { best: loss, waited: 0 };
      return undefined;
    }
    this.state.waited = (waited + 1) % this.patience;
    if (this.state.waited > 0) return undefined;
    return scaleLearningRate(this.factor, `evaluations without a better loss: ${this.patience}`);
  }
}
