"""Writes photographs as JPEG files, in class folders: parts of scikit-image's bundled photographs at
their own resolution, encoded by Pillow with quality 90 and 4:2:0 chroma, as cameras' files mostly are.

The larger ones are put together from such parts, so that each pixel has the detail of a photograph;
enlarged ones would be smoother, and quicker to decode, than any that a camera takes.
"""

import argparse
import random
from pathlib import Path

import skimage.data
from PIL import Image, ImageOps

PART = 300
CLASSES = 10


def photographs():
    names = ["astronaut", "chelsea", "coffee", "rocket", "immunohistochemistry"]
    for name in names:
        yield Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
    for image in skimage.data.stereo_motorcycle()[:2]:
        yield Image.fromarray(image).convert("RGB")


def part(photos, width, height, rng):
    """A part of one photograph, mirrored at random."""
    photo = rng.choice(photos)
    # Where a photograph is too small it is mirrored at its edge.
    while photo.width < width or photo.height < height:
        across = photo.width < width
        wider = (photo.width * 2, photo.height) if across else (photo.width, photo.height * 2)
        both = Image.new("RGB", wider)
        both.paste(photo)
        turned = ImageOps.mirror(photo) if across else ImageOps.flip(photo)
        both.paste(turned, (photo.width, 0) if across else (0, photo.height))
        photo = both
    left = rng.randint(0, photo.width - width)
    top = rng.randint(0, photo.height - height)
    cut = photo.crop((left, top, left + width, top + height))
    return ImageOps.mirror(cut) if rng.random() < 0.5 else cut


def photo(photos, width, height, rng):
    if width <= 2 * PART:
        return part(photos, width, height, rng)
    whole = Image.new("RGB", (width, height))
    for left in range(0, width, width // 4):
        for top in range(0, height, height // 4):
            whole.paste(part(photos, width // 4, height // 4, rng), (left, top))
    return whole


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--height", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    arguments = parser.parse_args()
    rng = random.Random(0)
    photos = list(photographs())
    for number in range(arguments.count):
        folder = arguments.folder / f"class{number % CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        image = photo(photos, arguments.width, arguments.height, rng)
        image.save(folder / f"{number:05}.jpg", quality=90, subsampling="4:2:0")


if __name__ == "__main__":
    main()
