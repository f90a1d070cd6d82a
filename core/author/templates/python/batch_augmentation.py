"""TEMPLATE_SUMMARY."""

from vitral import BatchAugmentation, label, number, random


class TemplateType(BatchAugmentation):
    """Mixes each image with its mirror place in the batch."""

    name = "template-name"
    summary = "TEMPLATE_SUMMARY"

    alpha = number(
        0.2,
        "Both parameters of the beta distribution that the weight of a batch is drawn from: the larger, the more "
        "even the mix.",
        min=0.01,
        max=100,
    )

    examples = {"Every weight is as likely as any other": {"alpha": 1}}

    def trace(self, batch, images, targets):
        with label("weight"):
            weight = random([1], distribution="beta", alpha=self.alpha, beta=self.alpha)

        def mix(values):
            return weight * values + (1 - weight) * values.reverse([0])

        with label("images"):
            images = mix(images)
        with label("targets"):
            targets = mix(targets)
        return images, targets
