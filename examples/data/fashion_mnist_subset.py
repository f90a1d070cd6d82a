#!/usr/bin/env python3
"""Makes a small, balanced subset of Fashion-MNIST for examples and tests.

Of the training set it takes the first 1000 images of each class, of the test set the first 200, in
their original order; and the last test image of each class as a PNG file, to try predictions with. The
output is the same byte for byte each time. Only Python's standard library is needed, and the data set
itself: Debian and Ubuntu have it as `dataset-fashion-mnist`.
"""

import argparse
import gzip
import struct
import sys
import zlib
from pathlib import Path

CLASSES = 10
# File names of the classes' single images.
NAMES = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot"]
# Names of a split's files, in the data set and in the subset, and images per class.
SPLITS = {"train": 1000, "t10k": 200}


def read_idx(path: Path, dimensions: int) -> tuple[tuple[int, ...], bytes]:
    """The dimensions and the bytes of a compressed IDX file."""
    data = gzip.decompress(path.read_bytes())
    header = struct.Struct(f">HBB{dimensions}I")
    zero, kind, found, *shape = header.unpack_from(data)
    if (zero, kind, found) != (0, 8, dimensions):
        sys.exit(f"{path}: not an IDX file of bytes with {dimensions} dimension(s)")
    return tuple(shape), data[header.size :]


def write_idx(path: Path, shape: tuple[int, ...], values: bytes) -> int:
    """Writes a compressed IDX file without name and time, and gives its size in bytes."""
    header = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
    # GzipFile writes the same header with every version of Python, which gzip.compress does not.
    with path.open("wb") as file:
        with gzip.GzipFile("", "wb", compresslevel=9, fileobj=file, mtime=0) as compressed:
            compressed.write(header + values)
    return path.stat().st_size


def choose(labels: bytes, per_class: int) -> list[int]:
    """The first `per_class` indices of each class, in ascending order."""
    counts = [0] * CLASSES
    chosen = []
    for index, label in enumerate(labels):
        if counts[label] < per_class:
            counts[label] += 1
            chosen.append(index)
    if min(counts) < per_class:
        sys.exit(f"a class has only {min(counts)} images, not {per_class}")
    return chosen


def make_split(name: str, per_class: int, source: Path, output: Path) -> int:
    """Writes one split's two files, and gives their size in bytes."""
    image_file = f"{name}-images-idx3-ubyte.gz"
    label_file = f"{name}-labels-idx1-ubyte.gz"
    (_, height, width), pixels = read_idx(source / image_file, 3)
    _, labels = read_idx(source / label_file, 1)
    chosen = choose(labels, per_class)
    length = height * width
    images = b"".join(pixels[index * length :][:length] for index in chosen)
    size = write_idx(output / image_file, (len(chosen), height, width), images)
    return size + write_idx(output / label_file, (len(chosen),), bytes(labels[i] for i in chosen))


def write_png(path: Path, width: int, height: int, pixels: bytes) -> int:
    """Writes a grey PNG file, and gives its size in bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    rows = b"".join(b"\0" + pixels[row * width :][:width] for row in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows, 9)), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path.stat().st_size


def make_single_images(source: Path, output: Path) -> int:
    """Writes the last test image of each class, and gives their size in bytes."""
    (_, height, width), pixels = read_idx(source / "t10k-images-idx3-ubyte.gz", 3)
    _, labels = read_idx(source / "t10k-labels-idx1-ubyte.gz", 1)
    output.mkdir(parents=True, exist_ok=True)
    length = height * width
    total = 0
    for label, name in enumerate(NAMES):
        last = labels.rindex(label)
        total += write_png(output / f"{name}.png", width, height, pixels[last * length :][:length])
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "output",
        type=Path,
        nargs="?",
        default=Path(__file__).parent / "fashion-mnist-subset",
        help="folder to write to (default: %(default)s)",
    )
    parser.add_argument(
        "--source",
        type=Path,
        default=Path("/usr/share/datasets/fashion-mnist"),
        help="folder of the whole data set (default: %(default)s)",
    )
    arguments = parser.parse_args()
    if not arguments.source.is_dir():
        sys.exit(f"{arguments.source}: no such folder; install `dataset-fashion-mnist` or give --source")
    arguments.output.mkdir(parents=True, exist_ok=True)
    total = 0
    for name, per_class in SPLITS.items():
        total += make_split(name, per_class, arguments.source, arguments.output)
    total += make_single_images(arguments.source, arguments.output / "images")
    print(f"{arguments.output}: {total} bytes")


if __name__ == "__main__":
    main()
