"""How many images a second PyTorch's DataLoader gives with torchvision's transforms and Pillow, the
way that training scripts use them. Prints the rate.

`--transforms` chooses what torchvision computes with: its transforms of Pillow images (`v1`), the newer
ones of the same (`v2`), or the newer ones of 8-bit tensors (`v2-tensor`).
"""

import argparse
import time

import torch
from torchvision import datasets, transforms
from torchvision.transforms import v2

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def stages(kind, size, randaugment):
    own = transforms if kind == "v1" else v2
    crop = [own.RandomResizedCrop(size), own.RandomHorizontalFlip()]
    augment = [own.RandAugment()] if randaugment else []
    match kind:
        case "v1":
            parts = [*crop, *augment, transforms.ToTensor()]
        case "v2":
            parts = [*crop, *augment, v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
        case "v2-tensor":
            # The crop stays Pillow's, which is quicker at it.
            parts = [*crop, v2.ToImage(), *augment, v2.ToDtype(torch.float32, scale=True)]
    return own.Compose([*parts, own.Normalize(MEAN, DEVIATION)])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--randaugment", action="store_true")
    parser.add_argument("--transforms", choices=["v1", "v2", "v2-tensor"], default="v1")
    arguments = parser.parse_args()

    transform = stages(arguments.transforms, arguments.size, arguments.randaugment)
    data = datasets.ImageFolder(arguments.folder, transform)
    # An epoch so long that no new one starts within the measurement.
    torch.manual_seed(0)
    sampler = torch.utils.data.RandomSampler(data, replacement=True, num_samples=10**7)
    loader = torch.utils.data.DataLoader(
        data, batch_size=arguments.batch, sampler=sampler, num_workers=arguments.workers
    )
    batches = iter(loader)
    for _ in range(8):
        next(batches)
    start, images = time.monotonic(), 0
    while time.monotonic() - start < arguments.seconds:
        images += len(next(batches)[0])
    print(f"{images / (time.monotonic() - start):.2f}")


if __name__ == "__main__":
    main()
