"""Makes timm's models with random weights, and checks what Vitral has made of them.

    timm_models.py make FOLDER     writes <kind>/model.safetensors, config.json and io.npz
    timm_models.py check FOLDER    opens <kind>/timm (and <kind>/published.npz) strictly, and compares
"""

import json
import sys
from pathlib import Path

import numpy as np
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.layers import SwiGLUPacked

TINY = dict(img_size=32, patch_size=8, embed_dim=64, depth=2, num_heads=4, num_classes=7)
DINOV2 = dict(TINY, img_size=28, patch_size=7)
FULL = dict(num_classes=1000)

# Name: timm's model, its arguments, the type of the file, and whether config.json is written.
KINDS = {
    "class-token": ("vit_tiny_patch16_224", TINY, torch.float32, False),
    "deit3": ("deit3_small_patch16_224", TINY, torch.float32, False),
    "no-class-token": (
        "vit_tiny_patch16_224",
        dict(TINY, class_token=False, global_pool="avg", fc_norm=False),
        torch.float32,
        False,
    ),
    "fc-norm": ("vit_tiny_patch16_224", dict(TINY, global_pool="avg"), torch.float32, False),
    "mean": (
        "vit_tiny_patch16_224",
        dict(TINY, global_pool="avg", fc_norm=False),
        torch.float32,
        True,
    ),
    "registers": (
        "vit_tiny_patch16_224",
        dict(TINY, reg_tokens=4, no_embed_class=True),
        torch.float32,
        False,
    ),
    "registers-with-positions": (
        "vit_tiny_patch16_224",
        dict(TINY, reg_tokens=2),
        torch.float32,
        False,
    ),
    # Of a published model's own function, sizes apart.
    "dinov2": ("vit_small_patch14_dinov2", DINOV2, torch.float32, False),
    "dinov2-registers": ("vit_small_patch14_reg4_dinov2", DINOV2, torch.float32, False),
    "dinov2-giant": (
        "vit_giant_patch14_dinov2",
        dict(DINOV2, mlp_ratio=3.0),
        torch.float32,
        True,
    ),
    "distilled": ("deit_tiny_distilled_patch16_224", TINY, torch.float32, False),
    "qk-norm": (
        "vit_tiny_patch16_224",
        dict(TINY, qk_norm=True, qkv_bias=False),
        torch.float32,
        False,
    ),
    "map": (
        "vit_tiny_patch16_224",
        dict(TINY, class_token=False, global_pool="map"),
        torch.float32,
        False,
    ),
    "swiglu": (
        "vit_tiny_patch16_224",
        dict(TINY, mlp_layer=SwiGLUPacked, act_layer=torch.nn.SiLU, mlp_ratio=3.0),
        torch.float32,
        False,
    ),
    "gelu-tanh": ("vit_tiny_patch16_224", dict(TINY, act_layer="gelu_tanh"), torch.float32, True),
    "grey": ("vit_tiny_patch16_224", dict(TINY, in_chans=1), torch.float32, False),
    "f16": ("vit_tiny_patch16_224", TINY, torch.float16, False),
    "bf16": ("vit_tiny_patch16_224", TINY, torch.bfloat16, False),
    "mixer": ("mixer_s32_224", dict(num_classes=7, img_size=64), torch.float32, False),
    "mixer-grey": (
        "mixer_s16_224",
        dict(num_classes=7, img_size=32, in_chans=1, mlp_ratio=(0.7, 3.0)),
        torch.float32,
        True,
    ),
    "Ti-16": ("vit_tiny_patch16_224", FULL, torch.float32, False),
    "S-16": ("vit_small_patch16_224", FULL, torch.float32, False),
    "B-16": ("vit_base_patch16_224", FULL, torch.float32, False),
}


def create(kind):
    name, arguments, _, _ = KINDS[kind]
    return timm.create_model(name, pretrained=False, **arguments).eval()


def make(folder):
    for seed, (kind, (name, arguments, dtype, configured)) in enumerate(KINDS.items()):
        torch.manual_seed(seed)
        model = create(kind)
        with torch.no_grad():
            for parameter in model.parameters():
                # So that biases, norms, scales and the head have a say, too.
                parameter.add_(torch.randn_like(parameter) * 0.02)
                parameter.copy_(parameter.to(dtype).to(torch.float32))
        out = folder / kind
        out.mkdir(parents=True)
        state = {key: value.to(dtype).contiguous() for key, value in model.state_dict().items()}
        save_file(state, out / "model.safetensors", metadata={"format": "pt"})
        if configured:
            config = dict(architecture=name, num_classes=7, model_args=arguments)
            (out / "config.json").write_text(json.dumps(config))
        patches = model.stem if hasattr(model, "stem") else model.patch_embed
        channels, size = patches.proj.in_channels, patches.img_size[0]
        images = torch.randn(1 if size > 100 else 3, channels, size, size)
        with torch.no_grad():
            logits = model(images)
        nhwc = images.permute(0, 2, 3, 1).contiguous().numpy()
        np.savez(out / "io.npz", input_nhwc=nhwc, logits=logits.numpy())


def check(folder):
    largest = 0.0
    for kind in KINDS:
        out = folder / kind
        original = {k: v.float() for k, v in load_file(out / "model.safetensors").items()}
        exported = load_file(out / "timm" / "model.safetensors")
        assert exported.keys() == original.keys(), (kind, exported.keys() ^ original.keys())
        for key in original:
            assert torch.equal(original[key], exported[key]), (kind, key)
        # Loads strictly, or fails.
        model = timm.create_model(f"local-dir:{out / 'timm'}", pretrained=True).eval()
        io = np.load(out / "io.npz")
        images = torch.from_numpy(io["input_nhwc"]).permute(0, 3, 1, 2).contiguous()
        with torch.no_grad():
            difference = (model(images) - torch.from_numpy(io["logits"])).abs().max().item()
        assert difference < 1e-5, (kind, difference)
        largest = max(largest, difference)
        if (out / "published.npz").exists():
            fresh = create(kind)
            fresh.load_pretrained(str(out / "published.npz"))
            for key, value in fresh.state_dict().items():
                assert torch.equal(value, original[key]), (kind, key)
    print(f"timm's logits after the round trip differ by at most {largest:e}")


if __name__ == "__main__":
    {"make": make, "check": check}[sys.argv[1]](Path(sys.argv[2]))
