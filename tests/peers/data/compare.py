"""Times Vitral's loader and those of its peers in turns, on the same photographs, and reports the
ratios. Started by tests/peers/data/run, which makes the environments that this needs."""

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
# The plugin, as tests/peers/data/run builds it.
COMPONENT = ROOT / "plugins" / "randaugment" / "dist" / "vitral-randaugment.wasm"
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
    parser.add_argument("--randaugment", action="store_true", help="with RandAugment, too")
    parser.add_argument("--ffcv", action="store_true", help="compare with FFCV, too")
    parser.add_argument("--vitral", required=True, help="the built loader_speed")
    arguments = parser.parse_args()
    lines = [
        "| photos | Vitral from | Vitral, img/s | peer | its img/s | ratio | least to most | others |",
        "|---|---|---|---|---|---|---|---|",
    ]
    results = []
    for name in arguments.photos:
        folder = photographs(name)
        torch = [sys.executable, Path(__file__).with_name("torch_loader.py"), folder]
        ffcv = [ROOT / "target/ffcv/bin/python", Path(__file__).with_name("ffcv_loader.py"), folder]
        own = [arguments.vitral, folder]
        programs = {"jpeg": own, "torch": torch}
        # What Vitral reads, its program, the peer, and the peer's program.
        cases = [("JPEG", "jpeg", "PyTorch", "torch")]
        if arguments.ffcv:
            programs["ffcv"] = ffcv
            cases.append(("JPEG", "jpeg", "FFCV, JPEG", "ffcv"))
        if not arguments.no_cache:
            pixels = f"cache, {CACHE_SIDE} px"
            programs["cache"] = [*own, "--cache", CACHE_SIDE]
            cases.append((pixels, "cache", "PyTorch", "torch"))
            if arguments.ffcv:
                programs["ffcv raw"] = [*ffcv, "--raw", CACHE_SIDE]
                cases.append((pixels, "cache", "FFCV, pixels", "ffcv raw"))
        if arguments.randaugment:
            programs["augmented"] = [*own, "--randaugment", COMPONENT]
            programs["torch augmented"] = [*torch, "--randaugment"]
            cases.append(("JPEG, with RandAugment", "augmented", "PyTorch", "torch augmented"))
        rates = {case: [] for case in programs}
        load = Load()
        for number in range(arguments.rounds):
            turns = list(programs.items())
            # Forth and back, so that a machine that slows down slows all.
            for case, command in turns if number % 2 == 0 else turns[::-1]:
                rates[case].append(measure(command, arguments))
                print(f"{name}, round {number + 1}, {case}: {rates[case][-1]:.0f} img/s", flush=True)
        others = load.others()
        for label, own, peer, its in cases:
            ratios = [a / b for a, b in zip(rates[own], rates[its])]
            row = [name, label, f"{median(rates[own]):.0f}", peer, f"{median(rates[its]):.0f}"]
            row += [f"{median(ratios):.2f}", f"{min(ratios):.2f} to {max(ratios):.2f}"]
            row += ["" if others is None else f"{100 * others:.0f}%"]
            lines.append(f"| {' | '.join(row)} |")
            result = {"photos": name, "case": label, "vitral": rates[own]}
            results.append({**result, "peer": peer, "its": rates[its]})
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
    command = [*command, "--seconds", arguments.seconds, "--batch", arguments.batch]
    command = [str(part) for part in [*command, "--workers", arguments.workers]]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return float(done.stdout)


if __name__ == "__main__":
    main()
