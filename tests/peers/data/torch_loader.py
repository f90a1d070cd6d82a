"""How many images a second PyTorch's DataLoader gives with torchvision's transforms and Pillow, the
way that training scripts use them. Prints the rate."""

import argparse
import time

import torch
from torchvision import datasets, transforms


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--randaugment", action="store_true")
    arguments = parser.parse_args()

    stages = [transforms.RandomResizedCrop(arguments.size), transforms.RandomHorizontalFlip()]
    if arguments.randaugment:
        stages.append(transforms.RandAugment())
    stages.append(transforms.ToTensor())
    stages.append(transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    data = datasets.ImageFolder(arguments.folder, transforms.Compose(stages))
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
