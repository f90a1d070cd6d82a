"""One peer: timm's model in PyTorch. Prints what it is when it is ready, then, for every line on
its standard input, makes a round of steps and prints what they took; each time a line of JSON."""

import argparse
import json
import os
import platform
import resource
import sys
import time

import timm
import torch
import torch.nn.functional as F

SIZES = {"Ti": "tiny", "S": "small", "B": "base", "L": "large", "H": "huge"}
# Fields of an experiment's model that this builds only so.
PLAIN = {
    "class_token": True,
    "register_tokens": 0,
    "pool": "ClassToken",
    "fc_norm": False,
    "position": "Learned",
    "class_position": True,
    "rope": None,
    "relative_position_bias": False,
    "attention": [],
    "qkv_bias": True,
    "qk_norm": False,
    "layer_scale": None,
    "drop_path": 0.0,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "patch_dropout": 0.0,
    "token_merging": None,
    "token_reorganization": None,
    "representation_size": None,
    "norm_eps": 1e-6,
}


def published(variant, image_size, classes):
    size, patch = variant.split("/")
    name = f"vit_{SIZES[size]}_patch{patch}_224"
    return timm.create_model(name, pretrained=False, img_size=image_size, num_classes=classes)


def of_experiment(config):
    """timm's model of the sizes that an experiment has; everything else must be as timm has it."""
    activations = {"Gelu": "gelu", "GeluTanh": "gelu_tanh"}
    other = {name: config[name] for name, value in PLAIN.items() if config[name] != value}
    if other or config["mlp"] not in activations:
        sys.exit(f"this model is not built in PyTorch: {other or config['mlp']}")
    return timm.models.VisionTransformer(
        img_size=config["image_size"],
        patch_size=config["patch_size"],
        in_chans=config["channels"],
        num_classes=config["classes"],
        embed_dim=config["width"],
        depth=config["depth"],
        num_heads=config["heads"],
        mlp_ratio=config["mlp_ratio"],
        act_layer=activations[config["mlp"]],
    )


class Training:
    def __init__(self, model, images, labels, compiled, autocast, clip_norm, wait):
        self.images, self.labels = images, labels
        self.autocast, self.clip_norm, self.wait = autocast, clip_norm, wait
        self.parameters = list(model.parameters())
        model.train()
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=5e-4, weight_decay=0.05, fused=True
        )
        self.forward = torch.compile(model) if compiled else model

    def step(self):
        begin = time.perf_counter()
        with self.autocast():
            loss = F.cross_entropy(self.forward(self.images), self.labels)
        self.wait()
        forward = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.wait()
        backward = time.perf_counter()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        self.optimizer.step()
        loss.item()
        self.wait()
        end = time.perf_counter()
        return {
            "step": end - begin,
            "forward": forward - begin,
            "backward": backward - forward,
            "update": end - backward,
        }


class Inference:
    def __init__(self, model, images, compiled, autocast, wait):
        self.images, self.autocast, self.wait = images, autocast, wait
        model.eval()
        self.forward = torch.compile(model) if compiled else model

    def step(self):
        begin = time.perf_counter()
        with torch.inference_mode(), self.autocast():
            self.forward(self.images)
        self.wait()
        step = time.perf_counter() - begin
        return {"step": step, "forward": step}


def cpu_seconds():
    times = os.times()
    return times.user + times.system


def peak_bytes():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--variant")
    parser.add_argument("--config", type=json.loads, help="an experiment's model")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--classes", type=int)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--warmup", type=int, required=True)
    parser.add_argument("--infer", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--precision", required=True, choices=["f32", "bf16"])
    parser.add_argument("--clip-norm", type=float, required=True)
    arguments = parser.parse_args()

    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(value):
        print(json.dumps(value), file=answers, flush=True)

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    if arguments.config:
        model = of_experiment(arguments.config)
    else:
        model = published(arguments.variant, arguments.image_size, arguments.classes)
    device = arguments.device
    model = model.to(device)
    # As `bench step` does, which waits for the device at the end of each stage.
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    channels, size = model.patch_embed.proj.in_channels, model.patch_embed.img_size
    images = torch.rand(arguments.batch, channels, *size, device=device) * 2 - 1
    labels = torch.arange(arguments.batch, device=device) * 7919 % model.num_classes

    def autocast():
        return torch.autocast(device, torch.bfloat16, enabled=arguments.precision == "bf16")

    if arguments.infer:
        work = Inference(model, images, arguments.compile, autocast, wait)
    else:
        clip_norm = arguments.clip_norm
        work = Training(
            model, images, labels, arguments.compile, autocast, clip_norm, wait
        )
    # Compiles, too.
    for _ in range(2):
        work.step()
    answer(
        {
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "torch": torch.__version__,
            "timm": timm.__version__,
            "threads": torch.get_num_threads(),
            "capability": torch.cuda.get_device_name()
            if device == "cuda"
            else torch.backends.cpu.get_cpu_capability(),
        }
    )
    for _ in sys.stdin:
        for _ in range(arguments.warmup):
            work.step()
        before = cpu_seconds()
        samples = [work.step() for _ in range(arguments.steps)]
        answer(
            {
                "samples": samples,
                "cpu_seconds_per_step": (cpu_seconds() - before) / arguments.steps,
                "process_peak_bytes": peak_bytes(),
            }
        )


if __name__ == "__main__":
    main()
