"""TEMPLATE_SUMMARY."""

from math import isfinite

from vitral import Monitor, integer, stop, warn


class TemplateType(Monitor):
    """Stops a run whose loss stays no number."""

    name = "template-name"
    summary = "TEMPLATE_SUMMARY"
    every_steps = 1

    patience = integer(3, "Steps in a row whose loss may be no number before the run is stopped.", min=1, max=1000)

    examples = {"Stop at once": {"patience": 1}}

    def on_stepped(self, step):
        # Steps that are not logged have no loss.
        if step.figures is None:
            return None
        loss = step.figures.loss
        bad = 0 if isfinite(loss) else self.state.get("bad_steps", 0) + 1
        # What is in `state` goes into checkpoints.
        self.state["bad_steps"] = bad
        if bad >= self.patience:
            return stop(f"the loss was no number for {bad} steps")
        return warn(f"the loss of step {step.step} is {loss}") if bad else None
