"""Attention by the angle between queries and keys (Henry et al. 2020, arXiv:2010.04245)."""

from vitral import Attention, label, number, parameter


class Cosine(Attention):
    """Softmax attention over cosines, times a learned scale in each head."""

    name = "cosine"
    summary = "Softmax attention over cosines, with a learned scale in each head"

    start = number(10, "The scale that each head starts with; the larger, the sharper its attention.", min=0.01, max=100)

    examples = {"Even at the start": {"start": 1}}

    def trace(self, layer, query, key, value):
        scale = parameter("scale", [layer.heads, 1, 1], self.start)

        def unit(x):
            return x / (x.reduce_sum_square([3], keep_dimensions=True) + 1e-6).sqrt()

        with label("scores"):
            scores = unit(query) @ unit(key).transpose([0, 1, 3, 2]) * scale
        with label("weights"):
            weights = scores.softmax(3).dropout(layer.dropout)
        return weights @ value
