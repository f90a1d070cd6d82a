"""Ends a run, or has it fail, at each of its calls of the system that change files; see `run`.

The calls of the thread that trains are counted, kind by kind, in a run that nothing happens to. They are
the same in each run, since the work of other threads is not traced. `strace` then injects a kill or an
error into the first, second, ... call of a kind.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

# Of each kind of call, the errors that disks have it fail with.
FULL, BROKEN = "ENOSPC", "EIO"
# Where these fail, something stays.
REMOVING = ["unlink", "unlinkat", "rmdir"]
CALLS = {
    "write": [FULL, BROKEN],
    "pwrite64": [FULL, BROKEN],
    "writev": [FULL, BROKEN],
    "ftruncate": [FULL, BROKEN],
    "fallocate": [FULL, BROKEN],
    "fsync": [FULL, BROKEN],
    "fdatasync": [FULL, BROKEN],
    "rename": [FULL, BROKEN],
    "renameat": [FULL, BROKEN],
    "renameat2": [FULL, BROKEN],
    "link": [FULL, BROKEN],
    "linkat": [FULL, BROKEN],
    "mkdir": [FULL, BROKEN],
    "mkdirat": [FULL, BROKEN],
    # A full disk lets go of what is on it.
    **{call: [BROKEN] for call in REMOVING},
}
# Calls that a disk which stays full goes on refusing.
STAYS_FULL = ["write", "fsync"]

EXPERIMENT = """(
    output: "run",
    device: "cpu",
    model: (
        image_size: 8, channels: 1, patch_size: 4, width: 8, depth: 1, heads: 2, mlp_ratio: 1.0,
        drop_path: 0.1,
    ),
    data: (
        train: Idx(images: "train-images", labels: "train-labels"),
        val: Idx(images: "val-images", labels: "val-labels"),
        augment: [HorizontalFlip()],
        workers: 1,
    ),
    train: (
        steps: 6, batch: 8, learning_rate: 1e-3, warmup_steps: 1, ema: 0.9, log_every: 1,
        eval_every: Steps(3),
    ),
    monitors: [(name: "early-stop", settings: {"patience": 50})],
    checkpoints: (every: Steps(2), keep: 2),
)"""

# Of a run that is over: what goes on from an earlier checkpoint, and sets later ones aside.
START = ["train", "../experiment.ron", "--set", 'output="run"', "--quiet"]
RESUME = ["train", "--resume", "run", "--quiet"]
GO_BACK = ["train", "--resume", "run/checkpoints/step-00000003", "--quiet"]
SECONDS_OF_A_RUN = 60


def write_images(folder, name, count):
    """Images of 8 px whose class has its quarter bright, as IDX files."""
    numbers = random.Random(name)
    images, labels = bytearray([0, 0, 8, 3]), bytearray([0, 0, 8, 1])
    for length in (count, 8, 8):
        images += length.to_bytes(4, "big")
    labels += count.to_bytes(4, "big")
    for index in range(count):
        labels.append(index % 4)
        for pixel in range(64):
            bright = pixel // 32 * 2 + (pixel % 8 >= 4) == index % 4
            images.append(numbers.randrange(100) + 150 * bright)
    (folder / f"{name}-images").write_bytes(images)
    (folder / f"{name}-labels").write_bytes(labels)


class Program:
    """The program, in a folder of its own for each run."""

    def __init__(self, path, root):
        self.path, self.root = path, root
        own = {"VITRAL_PLUGINS": root / "plugins", "XDG_CACHE_HOME": root / "cache", "NO_COLOR": "1"}
        self.environment = {**os.environ, **{name: str(value) for name, value in own.items()}}
        self.environment.pop("VITRAL_LOG", None)

    def run(self, folder, arguments, traced=()):
        """Exit code and messages; a run that hangs is a failure of its own."""
        command = [*traced, str(self.path), *arguments]
        try:
            done = subprocess.run(
                command, cwd=folder, env=self.environment, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, timeout=SECONDS_OF_A_RUN, check=False,
            )
        except subprocess.TimeoutExpired:
            raise Failure(f"did not end in {SECONDS_OF_A_RUN} s: {' '.join(command)}") from None
        return done.returncode, done.stderr.decode(errors="replace")


class Failure(Exception):
    """What is not as it should be."""


def result(run):
    """What must be the same at the end, whatever happened: tensors and states of the last checkpoint,
    and metrics without what depends on time."""
    checkpoint = run / (run / "last").read_text().strip()
    files = {}
    for file in sorted(checkpoint.iterdir()):
        if file.suffix in (".safetensors", ".state"):
            files[file.name] = file.read_bytes()
    state = (checkpoint / "state.ron").read_text()
    files["state.ron"] = re.sub(r"\n    (seconds|folder): [^\n]*", "", state)
    files["best"] = (run / "best").read_text()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        for field in ("images_per_second", "data_wait", "data"):
            line.pop(field, None)
    return files, lines


def compare(run, expected):
    """Makes sure that a run ended as another one."""
    (files, lines), (expected_files, expected_lines) = result(run), expected
    for name in sorted(files.keys() | expected_files.keys()):
        if files.get(name) != expected_files.get(name):
            raise Failure(f"{name} differs at the end")
    if lines != expected_lines:
        raise Failure("metrics.jsonl differs at the end")


def names(run):
    return {str(path.relative_to(run)) for path in run.rglob("*")}


def check_names(run, expected):
    """Makes sure that nothing is left over, but for what is set aside by design."""
    by_design = re.compile(r"metrics\.failed\.jsonl|checkpoints/superseded-step-\d+(/.*)?")
    left = {name for name in names(run) - expected if not by_design.fullmatch(name)}
    # A run that went on keeps other checkpoints beside its last and its best.
    left = {name for name in left if not re.fullmatch(r"checkpoints/step-\d+(/.*)?", name)}
    if left:
        raise Failure(f"left over: {', '.join(sorted(left))}")


def check_nothing_half_done(run):
    """Makes sure that a run which failed has put away what it was writing."""
    half = [name for name in names(run) if re.search(r"(^|/)\.(?!lock$)", name)] if run.exists() else []
    if half:
        raise Failure(f"left half done: {', '.join(sorted(half))}")


def check_order(log):
    """Makes sure of what a power failure would leave: whatever is renamed into its place was flushed
    before, and so was `metrics.jsonl` when a checkpoint becomes the last one."""
    dirty, renamed = set(), 0
    for line in log.read_text(errors="replace").splitlines():
        if written := re.match(r"(?:write|pwrite64|writev|ftruncate)\(\d+<(/[^>]*)>", line):
            dirty.add(written[1])
        elif flushed := re.match(r"(?:fsync|fdatasync)\(\d+<(/[^>]*)>", line):
            dirty.discard(flushed[1])
        elif moved := re.match(r"rename(?:at2?)?\((?:AT_FDCWD<([^>]*)>, )?\"([^\"]*)\", (?:AT_FDCWD<[^>]*>, )?\"([^\"]*)\"", line):
            folder, source, target = moved.groups()
            base = pathlib.Path(folder) if folder else log.parent
            source, target = str(base / source), str(base / target)
            unflushed = {path for path in dirty if path == source or path.startswith(source + "/")}
            # In a folder that is not in its place yet, order does not matter.
            if unflushed and "/." not in os.path.dirname(target):
                raise Failure(f"{target} is in its place before {unflushed} was flushed")
            for path in unflushed:
                dirty.discard(path)
                dirty.add(target + path[len(source):])
            if target.endswith("/run/last"):
                renamed += 1
                if any(path.endswith("/metrics.jsonl") for path in dirty):
                    raise Failure("a checkpoint becomes the last one before metrics.jsonl is flushed")
    if not renamed:
        raise Failure("no checkpoint became the last one: the trace is not read rightly")
    kept = {path for path in dirty if "/run/" in path and not path.endswith("/.lock")}
    if kept:
        raise Failure(f"never flushed: {', '.join(sorted(kept))}")


class Matrix:
    """All cases of one command."""

    def __init__(self, program, title, arguments, before):
        self.program, self.title, self.arguments, self.before = program, title, arguments, before
        self.cases = []
        self.done = collections.Counter()

    def folder(self, name):
        """A folder as it is before the command."""
        folder = self.program.root / f"{self.title}-{name}"
        folder.mkdir()
        if self.before:
            shutil.copytree(self.before, folder / "run")
        return folder

    def count(self):
        """Finds all calls of the command where nothing happens, and makes cases of them."""
        folder = self.folder("whole")
        log = folder / "log"
        traced = ["strace", "-qq", "-y", "-o", "log", "-e", f"trace={','.join(CALLS)}"]
        code, said = self.program.run(folder, self.arguments, traced)
        if code != 0:
            raise Failure(f"{self.title}: ends with {code} where nothing happens: {said}")
        check_order(log)
        counted = collections.Counter(re.match(r"\w+", line)[0] for line in log.open(errors="replace"))
        for call, count in counted.items():
            for number in range(1, count + 1):
                self.cases.append((call, "signal=KILL", str(number)))
                self.cases += [(call, f"error={error}", str(number)) for error in CALLS[call]]
                if call in STAYS_FULL:
                    self.cases.append((call, f"error={FULL}", f"{number}+"))
        return folder / "run"

    def run(self, case, expected, expected_names):
        """One case: what is injected, and what becomes of the run afterwards."""
        call, injected, when = case
        folder = self.folder(f"{call}-{injected.split('=')[1]}-{when}")
        traced = ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
        traced += ["-e", f"inject={call}:{injected}:when={when}"]
        try:
            code, said = self.program.run(folder, self.arguments, traced)
            self.judge(folder, case, code, said)
            run = folder / "run"
            again = RESUME if list(run.glob("checkpoints/step-*")) else START
            code, said = self.program.run(folder, again)
            if code != 0:
                raise Failure(f"does not go on by {' '.join(again)} ({code}): {said}")
            compare(run, expected)
            check_names(run, expected_names)
        except (Failure, OSError, ValueError) as failure:
            return f"{self.title}: {call}, {injected}, call {when}: {failure}", folder
        shutil.rmtree(folder)
        return None

    def judge(self, folder, case, code, said):
        """Makes sure that the run ended as it should at what was injected."""
        call, injected, when = case
        if injected == "signal=KILL":
            self.done["kills"] += 1
            if code != -9:
                raise Failure(f"was not killed, but ended with {code}: {said}")
            return
        self.done["errors"] += 1
        if "panicked" in said or code not in (0, 1):
            raise Failure(f"ended with {code}: {said}")
        stays_full = when.endswith("+")
        # Messages are written, too.
        if code == 1 and "error:" not in said and not (call == "write" and stays_full):
            raise Failure("failed without a word")
        if call not in REMOVING and not stays_full:
            check_nothing_half_done(folder / "run")


def main():
    parser = argparse.ArgumentParser(prog="tests/faults/run")
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("seconds", type=float, nargs="?", default=float("inf"))
    parser.add_argument("--keep", type=pathlib.Path, help="a folder for what failed")
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vitral-faults-") as root:
        root = pathlib.Path(root)
        (root / "experiment.ron").write_text(EXPERIMENT)
        write_images(root, "train", 48)
        write_images(root, "val", 20)
        program = Program(arguments.program.resolve(), root)
        start = Matrix(program, "start", START, None)
        whole = start.count()
        go_back = Matrix(program, "go-back", GO_BACK, whole)
        went_back = go_back.count()
        expected, expected_names = result(whole), names(whole)
        compare(went_back, expected)
        cases = [(matrix, case) for matrix in (start, go_back) for case in matrix.cases]
        # In an order of no meaning, so that what fits into the time is of every kind.
        random.Random(0).shuffle(cases)
        total, failures, made = len(cases), [], 0

        def attempt(entry):
            matrix, case = entry
            if time.monotonic() - began > arguments.seconds:
                return False
            return matrix.run(case, expected, expected_names)

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for failed in pool.map(attempt, cases):
                if failed is False:
                    continue
                made += 1
                if failed:
                    failures.append(failed[0])
                    print(f"FAILED {failed[0]}", flush=True)
                    if arguments.keep:
                        shutil.copytree(failed[1], arguments.keep / failed[1].name)
                if made % 50 == 0:
                    elapsed = time.monotonic() - began
                    print(f"{made} of {total}, {len(failures)} failed, {elapsed:.0f} s", flush=True)
        kills, errors = (start.done[kind] + go_back.done[kind] for kind in ("kills", "errors"))
        print(
            f"{kills} kills and {errors} injected errors of {total} cases in "
            f"{time.monotonic() - began:.0f} s: {len(failures)} failed"
        )
        return 1 if failures or not made else 0


if __name__ == "__main__":
    sys.exit(main())
