"""TEMPLATE_SUMMARY."""

from math import sqrt

from vitral import Attention, label, number, parameter


class TemplateType(Attention):
    """Softmax attention whose scores have a learned temperature in each head."""

    name = "template-name"
    summary = "TEMPLATE_SUMMARY"

    start = number(
        1,
        "The temperature that each head starts with; the lower, the sharper its attention.",
        min=0.01,
        max=100,
    )

    examples = {"Sharp from the start": {"start": 0.5}}

    def trace(self, layer, query, key, value):
        sharpness = parameter("sharpness", [layer.heads, 1, 1], 1 / self.start)
        with label("scores"):
            scores = query @ key.transpose([0, 1, 3, 2]) / sqrt(layer.head_width)
        with label("weights"):
            weights = (scores * sharpness).softmax(3).dropout(layer.dropout)
        return weights @ value
