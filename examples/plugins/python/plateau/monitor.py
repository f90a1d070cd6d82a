"""Lowers the learning rate where the validation loss stays."""

from math import inf

from vitral import Monitor, integer, number, scale_learning_rate


class Plateau(Monitor):
    """Counts the evaluations since the best."""

    name = "plateau"
    summary = "Lowers the learning rate when the validation loss stops improving"

    factor = number(0.5, "What the learning rate is multiplied by.", min=0.01, max=1)
    patience = integer(2, "Evaluations without a better loss after which that is done.", min=1, max=1000)
    min_delta = number(0, "By how much a loss must be below the best before.", min=0, max=1000)

    examples = {"A tenth, at once": {"factor": 0.1, "patience": 1}}

    def on_evaluated(self, evaluation):
        if evaluation.loss < self.state.get("best", inf) - self.min_delta:
            # What is in `state` goes into checkpoints.
            self.state = {"best": evaluation.loss}
            return None
        self.state["waited"] = (self.state.get("waited", 0) + 1) % self.patience
        if self.state["waited"]:
            return None
        return scale_learning_rate(self.factor, f"evaluations without a better loss: {self.patience}")
