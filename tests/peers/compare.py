"""Times the same model in Vitral and in PyTorch with timm, in turns, and reports the ratios.

Started by tests/peers/run, which makes the environment that this needs."""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from statistics import median

from load import Load

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "target" / "peers"
GIB = 1 << 30
# Company of other processes that is worth a warning, as a share of all processors.
BUSY = 0.05
# Of all gradients, as `train.clip_norm` and torch_steps.py have it.
CLIP_NORM = 1.0
PRECISIONS = {"f32": "F32", "bf16": "BF16"}


class Published:
    """One of timm's models, at the sizes that the command line gives."""

    def __init__(self, arguments, variant, batch):
        self.name, self.batch = variant, batch
        sizes = {"image-size": arguments.image_size, "classes": arguments.classes}
        self.vitral = ["--variant", variant, *options(sizes)]
        self.torch = ["--variant", variant, *options(sizes)]


class OfExperiment:
    """The model and the batch of an experiment's file, trained by AdamW."""

    def __init__(self, arguments, path, _):
        self.vitral = [path, "--set", "train.accum_steps=1"]
        found = bench_step(arguments, [*self.vitral, "--steps", "1", "--warmup", "0"])
        self.name, self.batch = Path(path).stem, found["batch"]
        self.torch = ["--config", json.dumps(found["config"])]


def subjects(arguments):
    """Every model, with its batch: one for all, or one for each."""
    batches = arguments.batch * (len(arguments.variant) if len(arguments.batch) == 1 else 1)
    for name, batch in zip(arguments.variant, batches, strict=True):
        yield (OfExperiment if name.endswith(".ron") else Published)(arguments, name, batch)


def bench_step(arguments, more):
    command = [arguments.vitral, "bench", "step", "--json", "--device", arguments.device, *more]
    environment = {**os.environ, "RAYON_NUM_THREADS": str(arguments.threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout)


class Vitral:
    """A process for each round."""

    name = "Vitral"
    process = None

    def __init__(self, arguments, model, infer):
        self.arguments = arguments
        self.more = [*model.vitral, *(["--infer"] if infer else ["--optimizer", "AdamW"])]
        self.more += ["--set", f"train.precision={PRECISIONS[arguments.precision]}"]
        self.more += ["--set", f"train.clip_norm={CLIP_NORM}"]
        self.more += rounds_of(arguments, model)

    def round(self):
        found = bench_step(self.arguments, self.more)
        self.about = {
            field: found[field] for field in ("version", "parameters", "threads", "gflop_per_image")
        }
        return found

    def close(self):
        pass


class PyTorch:
    """A process for all rounds: compiling takes long. It sleeps while others compute."""

    def __init__(self, arguments, model, infer, compiled):
        self.name = "PyTorch, compiled" if compiled else "PyTorch, eager"
        command = [sys.executable, Path(__file__).with_name("torch_steps.py")]
        command += [*model.torch, "--threads", str(arguments.threads)]
        command += rounds_of(arguments, model)
        command += ["--infer"] * infer + ["--compile"] * compiled
        command += ["--device", arguments.device]
        command += ["--precision", arguments.precision, "--clip-norm", str(CLIP_NORM)]
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(arguments.threads),
            "TORCHINDUCTOR_CACHE_DIR": str(OUTPUT / "inductor"),
        }
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, env=environment, stdin=pipe, stdout=pipe, text=True
        )
        self.about = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} failed")
        return json.loads(line)

    def round(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def rounds_of(arguments, model):
    return options(
        {"batch": model.batch, "steps": arguments.steps, "warmup": arguments.warmup}
    )


def options(values):
    return [text for name, value in values.items() for text in (f"--{name}", str(value))]


def contest(arguments, model, infer):
    """Everything that is measured of one model, either in training or in inference."""
    say(f"{model.name}, {'inference' if infer else 'training'}: starting")
    contestants = [Vitral(arguments, model, infer), PyTorch(arguments, model, infer, False)]
    if arguments.compile:
        contestants.append(PyTorch(arguments, model, infer, True))
    rounds = {contestant.name: [] for contestant in contestants}
    done = tried = 0
    while done < arguments.rounds:
        # Back and forth, so that a machine that gets slower does so for all.
        order = contestants if tried % 2 == 0 else contestants[::-1]
        say(f"  round {done + 1} of {arguments.rounds}")
        wait_for_quiet(arguments)
        found = {contestant.name: measure(model, contestant) for contestant in order}
        tried += 1
        if any(is_too_busy(arguments, of_round["others"]) for of_round in found.values()):
            say("    left out: other processes took too much")
            continue
        done += 1
        for name, of_round in found.items():
            rounds[name].append(of_round)
    for contestant in contestants:
        contestant.close()
    about = {contestant.name: contestant.about for contestant in contestants}
    parameters = {name: value["parameters"] for name, value in about.items()}
    if len(set(parameters.values())) != 1:
        sys.exit(f"these are not the same model: {parameters}")
    return {
        "model": model.name,
        "batch": model.batch,
        "precision": arguments.precision,
        "what": "inference" if infer else "training",
        "about": about,
        "figures": {name: figures(model.batch, found) for name, found in rounds.items()},
        "ratios": {
            name: spread(ratios(rounds[Vitral.name], found))
            for name, found in rounds.items()
            if name != Vitral.name
        },
        "rounds": rounds,
    }


def measure(model, contestant):
    load = Load(contestant.process)
    found = contestant.round()
    found["others"] = load.others()
    speed = model.batch / median(sample["step"] for sample in found["samples"])
    others = "" if found["others"] is None else f", others {found['others']:.0%}"
    say(f"    {contestant.name:18} {speed:.2f} img/s{others}")
    return found


def is_too_busy(arguments, others):
    """Whether the machine should be left to others now; not when patience is at its end."""
    if arguments.max_others is None or others is None or time.monotonic() > arguments.until:
        return False
    return others > arguments.max_others


def wait_for_quiet(arguments):
    quiet = 0 if arguments.max_others is not None else 2
    while quiet < 2:
        load = Load()
        time.sleep(2)
        quiet = 0 if is_too_busy(arguments, load.others()) else quiet + 1


def ratios(vitral, peer):
    """How many times as fast as a peer Vitral is, in each round."""
    step = lambda found: median(sample["step"] for sample in found["samples"])
    return [step(theirs) / step(ours) for ours, theirs in zip(vitral, peer)]


def figures(batch, rounds):
    samples = [sample for found in rounds for sample in found["samples"]]
    return {
        "images_per_second": spread(batch / sample["step"] for sample in samples),
        "milliseconds": {
            stage: spread(sample[stage] * 1e3 for sample in samples) for stage in samples[0]
        },
        "cpu_seconds_per_step": optional_median(found["cpu_seconds_per_step"] for found in rounds),
        "others": optional_median(found["others"] for found in rounds),
        "process_peak_bytes": max(found["process_peak_bytes"] or 0 for found in rounds) or None,
    }


def spread(values):
    values = list(values)
    return {"median": median(values), "least": min(values), "most": max(values)}


def optional_median(values):
    values = [value for value in values if value is not None]
    return median(values) if values else None


def table(found):
    """The figures of one contest in Markdown."""
    stages = list(found["figures"][Vitral.name]["milliseconds"])
    title = f"{found['model']}, {found['what']}, batch {found['batch']}, {found['precision']}"
    stages = stages if len(stages) > 2 else ["step"]
    head = [title, "img/s", *(f"{stage}, ms" for stage in stages)]
    head += [
        "CPU time, s/step",
        "process peak, GiB",
        "others' load",
        "Vitral is so many times as fast",
    ]
    rows = [head, ["---"] * len(head)]
    for name, figures in found["figures"].items():
        row = [name, in_words(figures["images_per_second"])]
        row += [f"{figures['milliseconds'][stage]['median']:.3g}" for stage in stages]
        cpu, peak = figures["cpu_seconds_per_step"], figures["process_peak_bytes"]
        row.append("" if cpu is None else f"{cpu:.2f}")
        row.append("" if peak is None else f"{peak / GIB:.2f}")
        row.append("" if figures["others"] is None else f"{figures['others']:.0%}")
        ratio = found["ratios"].get(name)
        row.append(in_words(ratio) if ratio else "")
        rows.append(row)
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def in_words(spread):
    return f"{spread['median']:.2f} ({spread['least']:.2f} to {spread['most']:.2f})"


def environment(arguments, contests):
    """What the figures hold for."""
    about = contests[0]["about"]
    torch = about["PyTorch, eager"]
    limits = [
        found["sgemm_limit_gflops"]
        for contest in contests
        for found in contest["rounds"][Vitral.name]
        if "sgemm_limit_gflops" in found
    ]
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": processor(),
        "threads": arguments.threads,
        # Measured on the CPU alone.
        "sgemm_limit_gflops": spread(limits) if limits else None,
        "vitral": f"{about[Vitral.name]['version']} ({commit()})",
        "torch": f"{torch['torch']} ({torch['capability']})",
        "timm": torch["timm"],
        "python": platform.python_version(),
        "rounds": arguments.rounds,
        "steps": arguments.steps,
        "warmup": arguments.warmup,
    }


def warning(contests):
    """What to say where the machine was not left alone."""
    shares = [
        found["others"] or 0.0 for contest in contests for found in contest["figures"].values()
    ]
    if max(shares) <= BUSY:
        return ""
    return (
        f"\n**Not a fair comparison**: other processes took up to {max(shares):.0%} of the "
        "processors. Run it on a quiet machine, or with `--max-others`.\n"
    )


def processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def commit():
    git = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(git, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "no commit"


def describe(found):
    limit = found["sgemm_limit_gflops"]
    sgemm = limit and (
        f", sgemm limit {limit['median']:.0f} GFLOP/s "
        f"({limit['least']:.0f} to {limit['most']:.0f})"
    )
    return (
        f"{found['machine']}, {found['threads']} threads{sgemm or ''}; "
        f"Vitral {found['vitral']}, PyTorch {found['torch']}, timm {found['timm']}, "
        f"Python {found['python']}; {found['date']}; {found['rounds']} "
        f"rounds in turns, each of {found['steps']} steps after {found['warmup']} of warm-up; "
        " medians, with least and most of all steps (of ratios: of all rounds)"
    )


def build():
    say("building Vitral")
    subprocess.run(["cargo", "build", "--release"], cwd=ROOT, check=True)
    return str(ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release" / "vitral")


def say(line):
    print(line, file=sys.stderr, flush=True)


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def processors():
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def parse():
    parser = argparse.ArgumentParser(
        prog="tests/peers/run",
        description="Times the same model, batch and optimizer in Vitral and in PyTorch with timm.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--variant",
        nargs="+",
        default=["Ti/16"],
        help="Ti/16, S/32, B/16, ..., or an experiment's file, whose model and batch are taken",
    )
    both = ["training", "inference"]
    parser.add_argument("--what", nargs="+", default=both, choices=both, help="what is timed")
    parser.add_argument(
        "--batch",
        nargs="+",
        type=positive,
        default=[16],
        help="images of a step: one number for all variants, or one for each",
    )
    parser.add_argument(
        "--precision",
        default="f32",
        choices=PRECISIONS,
        help="what both multiply in; bf16 is autocast of PyTorch",
    )
    parser.add_argument(
        "--device", default="cpu", choices=["cpu", "cuda"], help="where both compute"
    )
    parser.add_argument("--image-size", type=positive, default=224, help="side of the images")
    parser.add_argument("--classes", type=positive, default=1000, help="number of classes")
    parser.add_argument("--rounds", type=positive, default=5, help="rounds of each contestant")
    parser.add_argument("--steps", type=positive, default=5, help="measured steps of a round")
    parser.add_argument("--warmup", type=int, default=2, help="steps of a round before those")
    parser.add_argument("--threads", type=positive, default=processors(), help="threads of each")
    parser.add_argument(
        "--max-others",
        type=float,
        metavar="SHARE",
        help="wait while other processes take more than this share (0 to 1) of the processors, "
        "and repeat such rounds",
    )
    parser.add_argument(
        "--patience", type=float, default=30.0, metavar="MINUTES", help="how long to do so, in all"
    )
    parser.add_argument(
        "--no-compile", dest="compile", action="store_false", help="leave torch.compile out"
    )
    parser.add_argument("--vitral", help="the program; built from this repository if not given")
    arguments = parser.parse_args()
    arguments.until = time.monotonic() + arguments.patience * 60
    if len(arguments.batch) not in (1, len(arguments.variant)):
        parser.error("--batch takes one number, or one for each variant")
    if arguments.compile and not (shutil.which("g++") or shutil.which("clang++")):
        sys.exit("torch.compile needs a C++ compiler: install g++, or leave it out by --no-compile")
    if arguments.vitral:
        arguments.vitral = str(Path(arguments.vitral).resolve())
    return arguments


def main():
    arguments = parse()
    arguments.vitral = arguments.vitral or build()
    contests = [
        contest(arguments, model, what == "inference")
        for model in list(subjects(arguments))
        for what in arguments.what
    ]
    found = environment(arguments, contests)
    tables = "\n".join(table(contest) for contest in contests)
    text = f"{tables}\n{describe(found)}\n{warning(contests)}"
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "results.md").write_text(text)
    (OUTPUT / "results.json").write_text(
        json.dumps({"environment": found, "contests": contests}, indent=1)
    )
    print(text, end="")
    say(f"written to {OUTPUT.relative_to(ROOT)}/results.md and results.json")


if __name__ == "__main__":
    main()
