"""Times Vitral's loader and PyTorch's DataLoader in turns, on the same photographs, and reports the
ratios. Started by tests/peers/data/run, which makes the environment that this needs."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "peers"))
from load import Load  # noqa: E402

OUTPUT = ROOT / "target" / "peers" / "data"
SIZES = {"500x375": (500, 375, 640), "2000x1500": (2000, 1500, 64)}
# Longer side of the images in the cache, which are pixels.
CACHE_SIDE = 256


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--no-cache", action="store_true")
    parser.add_argument("--randaugment", help="also with this WebAssembly component")
    parser.add_argument("--vitral", default=ROOT / "target" / "release" / "examples" / "loader_speed")
    arguments = parser.parse_args()
    lines = [
        "| photos | Vitral from | Vitral, img/s | PyTorch, img/s | ratio | least to most | others |",
        "|---|---|---|---|---|---|---|",
    ]
    results = []
    for name in arguments.photos:
        folder = photographs(name)
        peers = {"torch": ([], True)}
        cases = [("JPEG", "jpeg", "torch")]
        vitral = {"jpeg": []}
        if not arguments.no_cache:
            vitral["cache"] = ["--cache", str(CACHE_SIDE)]
            cases.append((f"cache, {CACHE_SIDE} px", "cache", "torch"))
        if arguments.randaugment:
            vitral["augmented"] = ["--randaugment", arguments.randaugment]
            peers["torch augmented"] = (["--randaugment"], True)
            cases.append(("JPEG, with RandAugment", "augmented", "torch augmented"))
        rates = {case: [] for case in [*vitral, *peers]}
        load = Load()
        for number in range(arguments.rounds):
            turns = [(case, [str(arguments.vitral), folder, *more]) for case, more in vitral.items()]
            script = str(Path(__file__).with_name("torch_loader.py"))
            turns += [
                (case, [sys.executable, script, folder, *more]) for case, (more, _) in peers.items()
            ]
            # Forth and back, so that a machine that slows down slows all.
            for case, command in turns if number % 2 == 0 else turns[::-1]:
                rates[case].append(measure(command, arguments))
                print(f"{name}, round {number + 1}, {case}: {rates[case][-1]:.0f} img/s", flush=True)
        others = load.others()
        for label, own, peer in cases:
            ratios = [a / b for a, b in zip(rates[own], rates[peer])]
            row = [name, label, f"{median(rates[own]):.0f}", f"{median(rates[peer]):.0f}"]
            row += [f"{median(ratios):.2f}", f"{min(ratios):.2f} to {max(ratios):.2f}"]
            row += ["" if others is None else f"{100 * others:.0f}%"]
            lines.append(f"| {' | '.join(row)} |")
            results.append({"photos": name, "case": label, "vitral": rates[own], "torch": rates[peer]})
    table = "\n".join(lines)
    print(table)
    (OUTPUT / "results.md").write_text(table + "\n")
    (OUTPUT / "results.json").write_text(json.dumps(results, indent=1))


def photographs(name):
    width, height, count = SIZES[name]
    folder = OUTPUT / "photos" / name
    if not folder.is_dir():
        script = Path(__file__).with_name("photos.py")
        shape = ["--width", str(width), "--height", str(height), "--count", str(count)]
        print(f"writing {count} photographs of {name} pixels", flush=True)
        partial = folder.with_name(f"{name}.partial")
        subprocess.run([sys.executable, script, partial, *shape], check=True)
        partial.rename(folder)
    return str(folder)


def measure(command, arguments):
    command = [*command, "--seconds", str(arguments.seconds), "--batch", str(arguments.batch)]
    command += ["--workers", str(arguments.workers)]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return float(done.stdout)


if __name__ == "__main__":
    main()
