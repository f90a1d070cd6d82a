"""Runs the program on a stand-in for NVIDIA's driver: which kernels it needs, whether they compile, what a step costs.

Started by tests/gpu/run, which makes what this needs. Nothing is computed: see driver.c."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter, namedtuple
from pathlib import Path
from statistics import median

from kernels import Kernels

ROOT = Path(__file__).resolve().parents[2]
GPU = ROOT / "target" / "gpu"
TOOLKIT = next((GPU / "python").glob("lib/python*/site-packages/nvidia/cu*"), None)
SMALL = ROOT / "examples" / "quickstart.ron"
PRECISIONS = {"f32": "F32", "bf16": "BF16", "f16": "F16()"}
# Of a published model, whose kernels are others than those of a small one.
PUBLISHED = ["--variant", "Ti/16", "--batch", "8"]
MIB = 1 << 20


class Failed(Exception):
    """What is wrong, in a sentence."""


# What a command printed, what it asked of the driver, and how often it launched each kernel.
Done = namedtuple("Done", "output counts launched")


class Machine:
    """A machine whose driver is the stand-in."""

    def __init__(self, program, capability, folder):
        self.program, self.capability, self.folder = program, capability, folder
        self.runs = 0

    def environment(self, changes):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CUDA")}
        values = {
            "CUDA_PATH": str(TOOLKIT),
            "LD_LIBRARY_PATH": str(GPU),
            "CUDA_STAND_IN_CC": str(self.capability),
            # A user's own tuning and caches stay as they are.
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            **changes,
        }
        return kept | {name: value for name, value in values.items() if value is not None}

    def run(self, *arguments, kernels=None):
        """Runs a command that must succeed, with all that it asks of the driver."""
        self.runs += 1
        log = self.folder / f"{self.runs:02}.log"
        changes = {"CUDA_STAND_IN_LOG": str(log)}
        if kernels:
            changes["CUDA_STAND_IN_PTX"] = str(kernels.folder_of_a_run())
        command = [self.program, *map(str, arguments)]
        done = subprocess.run(
            command, env=self.environment(changes), capture_output=True, text=True, cwd=ROOT
        )
        counts, launched = {}, Counter()
        for line in log.read_text().splitlines() if log.exists() else []:
            name, *figures = line.split()
            if name != "launch":
                counts[name] = int(figures[0])
                continue
            launched[figures[0]] += int(figures[1])
            if kernels:
                kernels.launched(figures[0], shared=int(figures[2]))
        refused = [name for name, count in counts.items() if name.startswith("refused") and count]
        panicked = "panicked at" in done.stderr or "Compilation Error" in done.stderr
        if done.returncode or refused or panicked or not counts:
            why = f"exit code {done.returncode}, {', '.join(refused) or 'nothing refused'}"
            raise Failed(f"{' '.join(command)}: {why}\n{done.stderr[-3000:]}")
        return Done(done.stdout, counts, launched)


def commands(machine, precision, kernels):
    """What a user does with a small model: training, the rest of it, evaluation, prediction."""
    folder = machine.folder / precision
    of_type = ["--set", f"train.precision={PRECISIONS[precision]}"]

    def train(name, steps):
        output = ["--set", f"output={folder / name}"]
        more = [*of_type, *output, "--set", f"train.steps={steps}", "--device", "cuda"]
        return machine.run("train", SMALL, *more, kernels=kernels)

    shorter, longer = train("short", 10), train("long", 30)
    steps = ["--set", "train.steps=20", "--device", "cuda"]
    machine.run("train", "--resume", folder / "short", *steps, kernels=kernels)
    machine.run("eval", folder / "long" / "last", "--device", "cuda", kernels=kernels)
    images = ROOT / "examples/data/fashion-mnist-subset/images"
    machine.run("predict", folder / "long" / "last", images, "--device", "cuda", kernels=kernels)
    return costs(shorter, longer, 20)


def published(machine, precision, kernels, more):
    """Steps of a published model in `bench step`."""

    def steps(count):
        of_type = ["--set", f"train.precision={PRECISIONS[precision]}", "--device", "cuda"]
        counted = ["--warmup", "0", "--steps", count, "--no-limit", "--json"]
        return machine.run("bench", "step", *more, *of_type, *counted, kernels=kernels)

    # The first ones compile, and are recorded.
    shorter, longer = steps(4), steps(9)
    samples = json.loads(longer.output)["samples"][4:]
    return costs(shorter, longer, 5) | {"seconds": median(one["step"] for one in samples)}


def costs(shorter, longer, steps):
    """What a step costs: what a longer run has more of than a shorter one."""
    names = [
        *["launches", "graph_launches", "repeated_launches"],
        *["waits", "allocations", "to_device_bytes", "to_host_bytes"],
    ]
    costs = {name: (longer.counts[name] - shorter.counts[name]) / steps for name in names}
    if costs["launches"] <= 0:
        raise Failed("steps that launch nothing")
    if costs["graph_launches"] < 1:
        raise Failed("steps that are not repeated from a graph")
    if longer.counts["recorded_uploads"]:
        raise Failed("recorded steps copy from the host: what is drawn once would be repeated")
    more = longer.launched - shorter.launched
    return costs | {
        "peak_bytes": longer.counts["peak_bytes"],
        "seconds": None,
        "kernels": {name: count / steps for name, count in more.most_common()},
    }


def show(title, found):
    """A table in Markdown."""
    head = [
        *[title, "launches", "graphs", "launches in them", "waits", "allocations", "bytes up", "bytes down"],
        *["host, ms", "peak, MiB"],
    ]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for name, of in found.items():
        row = [
            name,
            f"{of['launches']:.0f}",
            f"{of['graph_launches']:.0f}",
            f"{of['repeated_launches']:.0f}",
            f"{of['waits']:.1f}",
            f"{of['allocations']:.1f}",
            f"{of['to_device_bytes']:.0f}",
            f"{of['to_host_bytes']:.0f}",
            "" if of["seconds"] is None else f"{of['seconds'] * 1e3:.1f}",
            f"{of['peak_bytes'] / MIB:.0f}",
        ]
        print(f"| {' | '.join(row)} |")
    print(flush=True)


def show_kernels(kernels):
    """Which kernels a step launches, by their names, and how often."""
    print("| kernel | launches |\n|---|---|")
    for name, count in kernels.items():
        print(f"| {name[:80]} | {count:.0f} |")
    print(flush=True)


def messages(machine):
    """What a machine lacks is one sentence, and exit code 2."""
    bare, no_compiler = machine.folder / "bare", machine.folder / "no-compiler"
    (bare / "include").mkdir(parents=True)
    (bare / "include" / "cuda_bf16.h").touch()
    (bare / "lib").symlink_to(TOOLKIT / "lib")
    no_compiler.mkdir()

    def run(*arguments, changes):
        command = [machine.program, *map(str, arguments)]
        environment = machine.environment(changes)
        return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)

    none = "no such device or driver found"
    # What differs, what is said of `cuda`, and by `doctor` if not the same; whether `auto` passes over it.
    for changes, words, of_doctor, passed_over in [
        ({"LD_LIBRARY_PATH": None}, "NVIDIA's driver is not installed", None, True),
        ({"CUDA_STAND_IN_DEVICES": "0"}, "no cuda device 0 on this machine", none, True),
        ({"CUDA_STAND_IN_DRIVER": "12020"}, "but CUDA 12.8 or newer is needed", None, False),
        ({"CUDA_STAND_IN_DRIVER": "12080"}, "NVIDIA's driver only supports kernels of CUDA 12.8", None, False),
        ({"CUDA_PATH": str(no_compiler)}, "NVRTC, which compiles kernels, is not installed", None, False),
        ({"CUDA_PATH": str(bare)}, "needs the header `crt/mma.h`", None, False),
        ({"CUDA_STAND_IN_CC": "61"}, "does not compile for this GPU (sm_61)", None, False),
        ({"CUDA_STAND_IN_MEMORY": "1000"}, "has no memory left", None, False),
    ]:
        codes = {"cuda": 2, "auto": 0 if passed_over else 2, "cpu": 0}
        for device, code in codes.items():
            done = run("bench", "step", SMALL, "--steps", 1, "--device", device, changes=changes)
            said = done.stderr.strip().splitlines()
            if done.returncode != code or (code and (len(said) != 1 or words not in said[0])):
                raise Failed(f"{changes}, {device}: exit code {done.returncode}: {done.stderr}")
        done = run("doctor", changes=changes)
        if done.returncode or (of_doctor or words) not in done.stdout:
            raise Failed(f"{changes}: `doctor` does not say so: {done.stdout}{done.stderr}")


def kept(machine):
    """Kernels are kept on disk, so that no run compiles what another has compiled."""
    # From the third step on they are recorded.
    step = [machine.program, "bench", "step", SMALL, "--warmup", "0", "--steps", "4", "--device", "cuda"]
    log = machine.folder / "kept.log"
    changes = {
        "XDG_CACHE_HOME": str(machine.folder / "kept"),
        "VITRAL_LOG": "cubecl_cuda=trace",
        "CUDA_STAND_IN_LOG": str(log),
    }
    found = []
    for _ in range(2):
        begin = time.monotonic()
        environment = machine.environment(changes)
        done = subprocess.run(step, env=environment, capture_output=True, text=True, cwd=ROOT)
        counted = [done.stderr.count(line) for line in ["Compiling kernel", "Using PTX cache"]]
        if done.returncode:
            raise Failed(f"exit code {done.returncode}: {done.stderr[-3000:]}")
        launched = {line.split()[1] for line in log.read_text().splitlines() if line.startswith("launch ")}
        found.append((*counted, time.monotonic() - begin, launched))
    (compiled, loaded, first, before), (again, of_disk, second, after) = found
    # Rarely, one of two runs has use for a kernel that the other has not.
    new = after - before
    if not compiled or loaded or again > len(new) or not of_disk:
        raise Failed(f"kernels compiled {compiled} and {again}, loaded {loaded} and {of_disk}; new {sorted(new)}")
    done = subprocess.run(
        [machine.program, "doctor"], env=machine.environment(changes), capture_output=True, text=True
    )
    if f"kept in {changes['XDG_CACHE_HOME']}/vitral/gpu (" not in done.stdout:
        raise Failed(f"`doctor` does not say where kernels are kept: {done.stdout}{done.stderr}")
    print(f"{compiled} kernels compiled in {first:.1f} s; the next run loaded {of_disk} in {second:.1f} s\n", flush=True)
    for name in sorted(new):
        print(f"it compiled {name}, which the first had no use for\n", flush=True)


def ranks(machine):
    """Two ranks, each with a GPU of its own, exchange gradients by NCCL; where they cannot, they say why, and go on."""
    mpi = ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "OMPI_MCA_rmaps_base_oversubscribe"]
    nccl = f"{GPU / 'nccl'}:{GPU}"
    show = []
    for name, words, path, devices, more in [
        ("f32", "exchanged by NCCL 2.27.1", nccl, 2, []),
        ("bf16", "exchanged by NCCL 2.27.1", nccl, 2, ["--set", "train.communication=BF16"]),
        ("part", "exchanged by NCCL 2.27.1", nccl, 2, ["--set", "train.shard_optimizer=true"]),
        ("own-gpu", "exchanged by NCCL 2.27.1", nccl, 1, []),
        ("no-nccl", "NCCL, by which GPUs exchange gradients, cannot be opened", str(GPU), 2, []),
        ("one-gpu", "shares its GPU with another rank", nccl, 1, []),
    ]:
        folder = machine.folder / f"ranks-{name}"
        log, messages = folder / "log", folder / "messages"
        messages.mkdir(parents=True)
        changes = {
            "LD_LIBRARY_PATH": path,
            "CUDA_STAND_IN_DEVICES": str(devices),
            # What ranks try their connection with arrives. Weights are zeros, and so the same on both.
            "CUDA_STAND_IN_COPIES": "8",
            "NCCL_STAND_IN_FOLDER": str(messages),
            "NCCL_STAND_IN_LOG": str(log),
            **dict.fromkeys(mpi, "1"),
        }
        output = ["--set", f"output={folder / 'run'}", "--set", "train.accum_steps=2"]
        train = ["train", str(SMALL), *output, "--set", "train.steps=10", "--device", "cuda", *more]
        environment = machine.environment(changes)
        # As where each rank sees a GPU of its own alone, which has the same number in all.
        own = 'CUDA_STAND_IN_FIRST=$OMPI_COMM_WORLD_LOCAL_RANK exec "$@"'
        wrapped = ["sh", "-c", own, "sh"] if name == "own-gpu" else []
        command = ["mpirun", "-n", "2", *wrapped, machine.program, *train]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)
        said = done.stdout + done.stderr
        if done.returncode or words not in said:
            raise Failed(f"{' '.join(command)}: exit code {done.returncode}\n{said[-3000:]}")
        counts = [
            dict(line.split() for line in Path(f"{log}.{rank}").read_text().splitlines())
            for rank in range(2)
            if Path(f"{log}.{rank}").exists()
        ]
        asked = [one for one in counts if int(one["groups"])]
        if len(asked) != (2 if "by NCCL" in words else 0) or any(messages.glob("*/*-*-*")):
            raise Failed(f"ranks, {name}: what NCCL was asked for: {counts}")
        show += [(name, one) for one in asked]
    print("| two ranks, 10 steps | groups of calls | messages | bytes sent |\n|---|---|---|---|")
    for name, of in show:
        print(f"| {name} | {of['groups']} | {of['messages']} | {of['bytes_sent']} |")
    print(flush=True)


def parse():
    parser = argparse.ArgumentParser(prog="tests/gpu/run", description=__doc__.splitlines()[0])
    parser.add_argument("--program", help="a `vitral` with `cuda-tests` and `mpi`; built if not given")
    parser.add_argument("--capability", nargs="+", type=int, default=[90, 80], help="as in 90, 80, 89")
    parser.add_argument("--precision", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    parser.add_argument("--step", nargs=argparse.REMAINDER, help="only costs of `bench step` with these arguments")
    return parser.parse_args()


def build():
    command = ["cargo", "build", "--release", "-p", "vitral", "--features", "cuda-tests,mpi"]
    subprocess.run(command, cwd=ROOT, check=True)
    return ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release" / "vitral"


def main():
    arguments = parse()
    begin = time.monotonic()
    program = str(Path(arguments.program).resolve()) if arguments.program else str(build())
    failed = False
    for capability in arguments.capability:
        folder = GPU / f"sm_{capability}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        machine = Machine(program, capability, folder)
        if arguments.step is None and capability == arguments.capability[0]:
            messages(machine)
            kept(machine)
            ranks(machine)
        for precision in arguments.precision:
            kernels = Kernels(folder / f"kernels-{precision}", TOOLKIT / "bin" / "ptxas", capability)
            found = {}
            if arguments.step is None:
                found["the quickstart's model, batch 64"] = commands(machine, precision, kernels)
            step = arguments.step or PUBLISHED
            found[" ".join(step)] = published(machine, precision, kernels, step)
            show(f"a step in {precision} on sm_{capability}", found)
            if arguments.step:
                show_kernels(found[" ".join(step)]["kernels"])
            failed |= not kernels.assemble(precision)
    print(f"{time.monotonic() - begin:.0f} s")
    return failed


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failed:
        sys.exit(str(failed))
