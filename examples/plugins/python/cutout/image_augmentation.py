"""Fills a square of an image (DeVries and Taylor 2017, arXiv:1708.04552)."""

from vitral import ImageAugmentation, integer, number


class Cutout(ImageAugmentation):
    """A square around a random pixel; what of it is outside of the image is cut off."""

    name = "cutout"
    summary = "Fills a square of images"

    probability = number(0.5, "How likely an image is changed.", min=0, max=1)
    size = number(0.5, "Side of the square, relative to the image's shorter side.", min=0, max=1)
    value = integer(128, "What the square is filled with.", min=0, max=255)

    examples = {"Every image, black": {"probability": 1, "value": 0}}

    def augment(self, image, sample):
        random = sample.random().random
        if random() >= self.probability:
            return None
        side = int(self.size * min(image.width, image.height) + 0.5)
        left = int(random() * image.width) - side // 2
        top = int(random() * image.height) - side // 2
        right, bottom = min(left + side, image.width), min(top + side, image.height)
        left, top = max(left, 0), max(top, 0)
        # Rows at once: Python's loops over pixels are slow.
        square = bytes([self.value]) * ((right - left) * image.channels)
        for row in range(top, bottom):
            start = (row * image.width + left) * image.channels
            image.pixels[start : start + len(square)] = square
        return image
