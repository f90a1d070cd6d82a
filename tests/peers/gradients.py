"""How near the gradients of a step in bf16 are to those in f32, in Vitral and in PyTorch by autocast:
the cosine of the two for each parameter, of the same weights on the same images.

Vitral first trains a few steps, since nearly all gradients of a fresh model, whose head is zero, are zero,
too. From there it makes one step of SGD with momentum at a learning rate of zero: the checkpoint then has
the weights as they were, and the gradients as the momentum. PyTorch computes its own from these weights.

    target/peers/venv/bin/python tests/peers/gradients.py [--vitral target/release/vitral]"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, median

import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file

from torch_steps import published

ROOT = Path(__file__).resolve().parents[2]
CLASSES = 10
SIDE = 224
# Of f32 in both: below this they are not of the same model on the same images.
SAME = 0.99999
NAMES = ["Vitral, bf16", "PyTorch, autocast"]

EXPERIMENT = """(
    output: "{output}",
    device: "cpu",
    model: (variant: "{variant}", image_size: {side}),
    data: (train: ImageFolder(path: "images"), val: ImageFolder(path: "images"), augment: [], normalize: Inception),
    train: (
        batch: {batch}, clip_norm: None, warmup_steps: 0, weight_decay: 0.0, decay: Constant, {train}
    ),
)"""
START = "steps: {steps}, learning_rate: 1e-4, eval_every: Steps({steps})"
STEP = "steps: 1, learning_rate: 0.0, optimizer: Sgd(momentum: 0.9), precision: {precision}"


def write_images(folder, batch, seed):
    """Noise with some structure, so that patches of an image are alike and those of others are not."""
    random = torch.Generator().manual_seed(seed)
    for index in range(batch):
        coarse = torch.rand(1, 3, 14, 14, generator=random)
        image = F.interpolate(coarse, (SIDE, SIDE), mode="bicubic") * 0.8
        image = image + 0.2 * torch.rand(1, 3, SIDE, SIDE, generator=random)
        pixels = (image[0].clamp(0, 1) * 255).to(torch.uint8).permute(1, 2, 0)
        of_class = folder / f"class-{index % CLASSES}"
        of_class.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.numpy()).save(of_class / f"{index}.png")


def read_images(folder):
    """All of them with their classes; in what order does not matter to a mean."""
    images, labels = [], []
    for label, of_class in enumerate(sorted(folder.iterdir())):
        for path in of_class.iterdir():
            pixels = torch.tensor(list(Image.open(path).tobytes()), dtype=torch.uint8)
            pixels = pixels.view(SIDE, SIDE, 3).permute(2, 0, 1)
            images.append((pixels - 127.5) / 127.5)
            labels.append(label)
    return torch.stack(images), torch.tensor(labels)


def train(arguments, folder, variant, name, settings, more=()):
    """The folder of the only checkpoint of a run."""
    sizes = {"variant": variant, "side": SIDE, "batch": arguments.batch}
    experiment = folder / f"{name}.ron"
    experiment.write_text(EXPERIMENT.format(output=name, train=settings, **sizes))
    command = [arguments.vitral, "--quiet", "train", experiment, *more]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{experiment.name} failed:\n{done.stderr}")
    return next((folder / name / "checkpoints").glob("step-*"))


def vitral_gradients(arguments, folder, variant, precision):
    """Weights and gradients, by their names, in PyTorch's layout."""
    settings = STEP.format(precision=precision)
    checkpoint = train(arguments, folder, variant, precision, settings, ["--init", "start"])
    weights = load_file(checkpoint / "model.safetensors")
    slots = load_file(checkpoint / "optimizer.safetensors")
    gradients = {name: slots[f"momentum_buffer/{name}"] for name in weights}
    patch = int(variant.split("/")[1])
    return tuple(
        {name: as_timm(name, value, patch) for name, value in of.items()}
        for of in (weights, gradients)
    )


def as_timm(name, value, patch):
    if name == "patch_embed.proj.weight":
        return value.view(patch, patch, -1, value.shape[1]).permute(3, 2, 0, 1)
    return value.T if value.dim() == 2 else value


def torch_gradients(variant, weights, images, labels, autocast):
    model = published(variant, SIDE, len(weights["head.bias"]))
    model.load_state_dict(weights)
    model.train()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = F.cross_entropy(model(images), labels)
    loss.backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def cosines(exact, brief):
    of = lambda a, b: F.cosine_similarity(a.double().flatten(), b.double().flatten(), dim=0).item()
    return {name: of(exact[name], brief[name]) for name in exact}


def of_batch(arguments, variant, seed):
    """The cosines of one batch, Vitral's and PyTorch's."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_images(folder / "images", arguments.batch, seed)
        train(arguments, folder, variant, "start", START.format(steps=arguments.steps))
        ours = {
            precision: vitral_gradients(arguments, folder, variant, precision)
            for precision in ("F32", "BF16")
        }
        images, labels = read_images(folder / "images")
    weights = ours["F32"][0]
    exact, brief = (
        torch_gradients(variant, weights, images, labels, autocast) for autocast in (False, True)
    )
    same = min(cosines(exact, ours["F32"][1]).values())
    if same < SAME:
        sys.exit(f"{variant}: in f32 both should have the same gradients; the least cosine is {same}")
    return cosines(ours["F32"][1], ours["BF16"][1]), cosines(exact, brief)


def compare(arguments, variant):
    batches = [of_batch(arguments, variant, seed) for seed in range(arguments.batches)]
    # Of each parameter, the mean over batches.
    found = {
        name: {parameter: mean(of[parameter] for of in side) for parameter in side[0]}
        for name, side in zip(NAMES, zip(*batches))
    }
    count = len(found[NAMES[0]])
    print(f"{variant}, {len(batches)} batches of {arguments.batch}, {count} parameters: cosine to f32")
    for name, of in found.items():
        least = min(of, key=of.get)
        print(f"  {name:18} median {median(of.values()):.6f}  least {of[least]:.6f} ({least})")
    vitral, autocast = found.values()
    distances = [(1 - vitral[name]) / (1 - autocast[name]) for name in vitral]
    print(f"  distance (1 - cosine), Vitral's to PyTorch's: median {median(distances):.2f}", end="")
    print(f", least {min(distances):.2f}, most {max(distances):.2f}")
    if arguments.all:
        for name in vitral:
            print(f"    {name:32} {vitral[name]:.6f} {autocast[name]:.6f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--vitral", type=Path, default=ROOT / "target" / "release" / "vitral")
    parser.add_argument("--variant", nargs="+", default=["Ti/16", "S/16"])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--batches", type=int, default=3, help="each with a model of its own")
    parser.add_argument("--steps", type=int, default=10, help="how long a model trains before")
    parser.add_argument("--all", action="store_true", help="show every parameter")
    arguments = parser.parse_args()
    arguments.vitral = arguments.vitral.resolve()
    for variant in arguments.variant:
        compare(arguments, variant)


if __name__ == "__main__":
    main()
