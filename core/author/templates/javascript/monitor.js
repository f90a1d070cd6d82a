// TEMPLATE_SUMMARY.

import { Monitor, integer, stop, warn } from "./vitral.js";

/** Stops a run whose loss stays no number. */
export default class TemplateType extends Monitor {
  static plugin = {
    name: "template-name",
    summary: "TEMPLATE_SUMMARY",
    parameters: {
      patience: integer(3, "Steps in a row whose loss may be no number before the run is stopped.", {
        min: 1,
        max: 1000,
      }),
    },
    examples: { "Stop at once": { patience: 1 } },
  };

  everySteps = 1;
  // What a resumed run goes on from.
  state = { badSteps: 0 };

  stepped(step) {
    // Steps that are not logged have no loss.
    if (step.figures === undefined) return undefined;
    const { loss } = step.figures;
    const bad = Number.isFinite(loss) ? 0 : this.state.badSteps + 1;
    this.state.badSteps = bad;
    if (bad >= this.patience) return stop(`the loss was no number for ${bad} steps`);
    return bad ? warn(`the loss of step ${step.step} is ${loss}`) : undefined;
  }
}
