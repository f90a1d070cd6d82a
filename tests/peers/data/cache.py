"""Times packing 100,000 images of 64x64 pixels with `vitral data cache`, and reading all of the cache, in
turns with dd writing and reading as many bytes. Started by tests/peers/data/cache.

The images are an IDX file of pixels, where only copying and the disk count, and (`--jpeg`) JPEG files,
where they have to be opened and decoded, too; those are compared with reading the files' bytes.
"""

import argparse
import json
import os
import random
import struct
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import photos

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "peers"))
from load import Load  # noqa: E402

OUTPUT = ROOT / "target" / "peers" / "data"
COUNT, SIDE, CLASSES = 100_000, 64, 10
# Different images; the others repeat them, which neither copies nor the disk notice.
DIFFERENT = 2000


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jpeg", action="store_true", help="JPEG files, too")
    parser.add_argument("--vitral", default=ROOT / "target" / "release" / "vitral")
    arguments = parser.parse_args()
    folder = OUTPUT / "small"
    make(folder, arguments.jpeg)
    sources = {"IDX": f'Idx(images: "{folder}/images", labels: "{folder}/labels")'}
    if arguments.jpeg:
        sources["JPEG files"] = str(folder / "jpeg")
    lines = ["| images | what | Vitral, s | peer, s | ratio | least to most | others |"]
    lines.append("|---|---|---|---|---|---|---|")
    results = []
    for name, source in sources.items():
        times, load = Times(arguments.vitral, source, folder, name), Load()
        for number in range(arguments.rounds):
            times.round(backwards=number % 2 == 1)
        others = load.others()
        for what, own, peer in times.cases:
            ratios = [b / a for a, b in zip(times.found[own], times.found[peer])]
            row = [name, what, f"{median(times.found[own]):.2f}", f"{median(times.found[peer]):.2f}"]
            row += [f"{median(ratios):.2f}", f"{min(ratios):.2f} to {max(ratios):.2f}"]
            row += ["" if others is None else f"{100 * others:.0f}%"]
            lines.append(f"| {' | '.join(row)} |")
        results.append({"images": name, "bytes": times.bytes, "seconds": times.found})
    table = "\n".join(lines)
    print(table)
    for result in results:
        print(f"{result['images']}: a cache of {result['bytes']} bytes")
    (OUTPUT / "cache.md").write_text(table + "\n")
    (OUTPUT / "cache.json").write_text(json.dumps(results, indent=1))


class Times:
    """What one source's packing takes, and what it is compared with."""

    def __init__(self, vitral, source, folder, name):
        self.vitral, self.source, self.name = vitral, source, name
        self.cache, self.copy = folder / "small.vcache", folder / "copy"
        self.files = sorted((folder / "jpeg").glob("*/*.jpg")) if name != "IDX" else []
        self.bytes = 0
        if self.files:
            self.cases = [("packed, and files read", "pack", "files")]
        else:
            self.cases = [("written, and by dd", "pack", "dd write")]
        self.cases.append(("read, and by dd", "read", "dd read"))
        self.found = {case: [] for _, *pair in self.cases for case in pair}

    def round(self, backwards):
        turns = [("pack", self.pack)]
        turns.append(("files", self.read_files) if self.files else ("dd write", self.dd_write))
        if backwards and self.cache.exists():
            turns.reverse()
        reads = [("read", self.read), ("dd read", self.dd_read)]
        for case, turn in turns + (reads[::-1] if backwards else reads):
            seconds = turn()
            self.found[case].append(seconds)
            print(f"{self.name}, {case}: {seconds:.2f} s", flush=True)

    def pack(self):
        self.cache.unlink(missing_ok=True)
        os.sync()
        self.forget_files()
        command = [self.vitral, "data", "cache", self.source, "--out", self.cache]
        seconds = timed(command)
        self.bytes = self.cache.stat().st_size
        return seconds

    def forget_files(self):
        for path in self.files:
            forget(path)

    def dd_write(self):
        """As many bytes as the cache has, out of memory, kept by the disk as the cache is."""
        self.copy.unlink(missing_ok=True)
        os.sync()
        read_into_memory(self.cache)
        command = ["dd", f"if={self.cache}", f"of={self.copy}", "bs=1M", "conv=fdatasync"]
        seconds = timed(command)
        self.copy.unlink()
        return seconds

    def read(self):
        os.sync()
        forget(self.cache)
        return timed([self.vitral, "data", "verify", self.cache])

    def dd_read(self):
        os.sync()
        forget(self.cache)
        return timed(["dd", f"if={self.cache}", "of=/dev/null", "bs=1M"])

    def read_files(self):
        """The JPEG files' bytes, by two processes, from the disk as when they are packed."""
        self.forget_files()
        start = time.monotonic()
        script = "import sys\nfor path in sys.stdin: open(path[:-1], 'rb').read()"
        halves = [self.files[::2], self.files[1::2]]
        readers = [
            subprocess.Popen([sys.executable, "-S", "-c", script], stdin=subprocess.PIPE, text=True)
            for _ in halves
        ]
        for reader, half in zip(readers, halves):
            reader.stdin.write("".join(f"{path}\n" for path in half))
            reader.stdin.close()
        if any(reader.wait() for reader in readers):
            sys.exit("the files cannot be read")
        return time.monotonic() - start


def timed(command):
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.monotonic() - start
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr}")
    return seconds


def forget(path):
    """Takes a file out of the page cache."""
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_into_memory(path):
    with open(path, "rb") as file:
        while file.read(1 << 20):
            pass


def make(folder, jpeg):
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(0)
    whole = list(photos.photographs())
    parts = []
    wanted = [folder / "images", folder / "labels", *([folder / "jpeg"] if jpeg else [])]
    if not all(path.exists() for path in wanted):
        print(f"making {COUNT} images", flush=True)
        parts = [photos.part(whole, SIDE, SIDE, rng) for _ in range(DIFFERENT)]
    if not (folder / "images").exists():
        header = struct.pack(">BBBB4I", 0, 0, 8, 4, COUNT, SIDE, SIDE, 3)
        pixels = b"".join(part.tobytes() for part in parts)
        with open(folder / "images.partial", "wb") as file:
            file.write(header)
            for _ in range(COUNT // DIFFERENT):
                file.write(pixels)
        os.rename(folder / "images.partial", folder / "images")
    if not (folder / "labels").exists():
        labels = bytes(number % CLASSES for number in range(COUNT))
        (folder / "labels").write_bytes(struct.pack(">BBBBI", 0, 0, 8, 1, COUNT) + labels)
    if jpeg and not (folder / "jpeg").exists():
        partial = folder / "jpeg.partial"
        for number in range(COUNT):
            of_class = partial / f"class{number % CLASSES}"
            if number < CLASSES:
                of_class.mkdir(parents=True, exist_ok=True)
            parts[number % DIFFERENT].save(of_class / f"{number:06}.jpg", quality=90)
        partial.rename(folder / "jpeg")


if __name__ == "__main__":
    main()
