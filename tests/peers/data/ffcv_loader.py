"""How many images a second FFCV's loader gives on the CPU. Prints the rate.

Before time is taken, the photographs of the folder are written to FFCV's file beside it, unless it is
there: as the JPEG files that they are, or (`--raw SIDE`) as pixels, with a longer side of at most SIDE.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
from ffcv.fields import IntField, RGBImageField
from ffcv.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
from ffcv.fields.rgb_image import IMAGE_MODES
from ffcv.loader import Loader, OrderOption
from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, ToTensor, ToTorchImage
from ffcv.writer import DatasetWriter
from PIL import Image

MEAN = 255 * np.array([0.485, 0.456, 0.406])
DEVIATION = 255 * np.array([0.229, 0.224, 0.225])


class JpegFile(RGBImageField):
    """JPEG files as they are. FFCV's own field would decode them and encode them again."""

    def encode(self, destination, path, malloc):
        with Image.open(path) as image:
            destination["width"], destination["height"] = image.size
        content = np.frombuffer(Path(path).read_bytes(), dtype="<u1")
        destination["mode"] = IMAGE_MODES["jpg"]
        destination["data_ptr"], storage = malloc(content.nbytes)
        storage[:] = content


class Photographs:
    """Pairs of a photograph, or its path, and its class."""

    def __init__(self, folder, as_paths):
        self.paths = sorted(Path(folder).glob("*/*.jpg"))
        self.classes = sorted({path.parent.name for path in self.paths})
        self.as_paths = as_paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        path = self.paths[index]
        image = path if self.as_paths else Image.open(path).convert("RGB")
        return image, self.classes.index(path.parent.name)


def write(folder, raw):
    path = Path(f"{folder}.{raw or 'jpeg'}.beton")
    if not path.exists():
        partial = path.with_suffix(".partial")
        image = RGBImageField(write_mode="raw", max_resolution=raw) if raw else JpegFile()
        writer = DatasetWriter(str(partial), {"image": image, "label": IntField()}, num_workers=2)
        writer.from_indexed_dataset(Photographs(folder, as_paths=raw is None))
        os.rename(partial, path)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--raw", type=int, metavar="SIDE")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()

    path = write(arguments.folder, arguments.raw)
    count = len(Photographs(arguments.folder, as_paths=True))
    loader = Loader(
        str(path),
        batch_size=arguments.batch,
        num_workers=arguments.workers,
        os_cache=True,
        order=OrderOption.RANDOM,
        seed=0,
        # An epoch so long that no new one starts within the measurement.
        indices=np.tile(np.arange(count, dtype="uint64"), 2_000_000 // count),
        custom_fields={"image": RGBImageField},
        pipelines={
            "image": [
                RandomResizedCropRGBImageDecoder((arguments.size, arguments.size)),
                RandomHorizontalFlip(),
                NormalizeImage(MEAN, DEVIATION, np.float32),
                ToTensor(),
                ToTorchImage(),
            ],
            "label": [IntDecoder(), ToTensor()],
        },
    )
    batches = iter(loader)
    # The first compile the pipeline.
    for _ in range(8):
        next(batches)
    start, images = time.monotonic(), 0
    while time.monotonic() - start < arguments.seconds:
        images += len(next(batches)[0])
    print(f"{images / (time.monotonic() - start):.2f}", flush=True)
    # Without waiting for the thread that makes batches ahead.
    os._exit(0)


if __name__ == "__main__":
    main()
