"""TEMPLATE_SUMMARY."""

from vitral import ImageAugmentation, integer, number


class TemplateType(ImageAugmentation):
    """Inverts what is bright."""

    name = "template-name"
    summary = "TEMPLATE_SUMMARY"

    probability = number(0.2, "How likely an image is changed.", min=0, max=1)
    threshold = integer(128, "Values from this one on are inverted.", min=0, max=255)

    examples = {"Every image as a negative": {"probability": 1, "threshold": 0}}

    def configured(self):
        # One table for all pixels: Python's loops take a second for an image.
        self.table = bytes(it if it < self.threshold else 255 - it for it in range(256))

    def augment(self, image, sample):
        if sample.random().random() >= self.probability:
            return None
        image.pixels = image.pixels.translate(self.table)
        return image
