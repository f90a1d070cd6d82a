"""Makes the cases of MLP-Mixer and hybrid models in tests/fixtures/oracle, by running
google-research/vision_transformer itself.

    git clone https://github.com/google-research/vision_transformer
    pip install jax flax einops numpy scipy pandas packaging absl-py tqdm
    python jax_models.py vision_transformer tests/fixtures/oracle

Weights are random and rounded to 8 significant bits, so that the archives are small; everything is
computed in f32.
"""

import re
import sys
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

# Imported before TensorFlow's place is taken: Flax asks whether TensorFlow is there.
import flax.training.checkpoints  # noqa: F401  isort: skip

sys.path.insert(0, sys.argv[1])
OUT = Path(sys.argv[2])

# The project's loader reads its files through TensorFlow, which is not needed for that.
gfile = types.SimpleNamespace(GFile=lambda path, mode="r": open(path, mode))
sys.modules["tensorflow"] = types.ModuleType("tensorflow")
sys.modules["tensorflow.io"] = types.SimpleNamespace(gfile=gfile)

from vit_jax import checkpoint, models_mixer, models_vit  # noqa: E402

del sys.modules["tensorflow"], sys.modules["tensorflow.io"]

CLASSES = 5


class Config(types.SimpleNamespace):
    """What the project's models and loader want of a ConfigDict."""

    def get(self, name):
        return getattr(self, name)


def mixer(classes=CLASSES):
    return models_mixer.MlpMixer(
        patches=Config(size=(8, 8)),
        num_classes=classes,
        num_blocks=2,
        hidden_dim=24,
        tokens_mlp_dim=12,
        channels_mlp_dim=48,
    )


def hybrid(layers, patch, classes=CLASSES):
    return models_vit.VisionTransformer(
        num_classes=classes,
        patches=Config(size=(patch, patch)),
        transformer=dict(num_layers=1, mlp_dim=32, num_heads=2, dropout_rate=0.0),
        hidden_size=16,
        resnet=Config(num_layers=layers, width_factor=0.5),
        classifier="token",
    )


# Name: the model for a number of classes, and a larger image size that its loader is tried at.
CASES = {
    "tiny_mixer": (mixer, None),
    # The stem of R+ViT-Ti/16: a root alone, and patches on it.
    "tiny_root": (lambda classes=CLASSES: hybrid((), 4, classes), 64),
    # The stems of R26 and R50: units with and without a projection, with and without a stride.
    "tiny_resnet": (lambda classes=CLASSES: hybrid((2, 1), 1, classes), 64),
}


def rounded(array):
    bits = np.asarray(array, np.float32).view(np.uint32)
    return ((bits + 0x8000) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def random_parameters(model, size, rng):
    """Every parameter has a say: none is zero, and scales lie around one."""
    shapes = model.init(jax.random.PRNGKey(0), jnp.zeros((1, size, size, 3)), train=False)
    flat = {}
    for path, value in flatten_dict(shapes["params"]).items():
        fan_in = int(np.prod(value.shape[:-1])) if value.ndim > 1 else 1
        noise = rng.standard_normal(value.shape) / np.sqrt(fan_in)
        around = 1.0 if path[-1] == "scale" else 0.0
        flat[path] = rounded(around + noise * (0.3 if value.ndim == 1 else 1.0))
    return unflatten_dict(flat)


PUBLISHED = {
    "LayerNorm_1": "LayerNorm_2",
    "MultiHeadDotProductAttention_0": "MultiHeadDotProductAttention_1",
    "MlpBlock_0": "MlpBlock_3",
}


def published(path, value):
    """Name and shape in the published checkpoints, which are older than some of Flax's names."""
    if path[0] == "Transformer":
        path = tuple(PUBLISHED.get(part, part) for part in path)
    if any(part.startswith("gn") for part in path):
        value = value.reshape(1, 1, 1, -1)
    return "/".join(path), value


# Vitral's names, in whose layouts gradients are stored.
NAMES = {
    "stem": "patch_embed.proj",
    "embedding": "patch_embed.proj",
    "MixerBlock_": "blocks.",
    "Transformer/encoderblock_": "blocks.",
    "LayerNorm_0": "norm1",
    "LayerNorm_1": "norm2",
    "token_mixing": "mlp_tokens",
    "channel_mixing": "mlp",
    "MlpBlock_0": "mlp",
    "Dense_0": "fc1",
    "Dense_1": "fc2",
    "MultiHeadDotProductAttention_0/out": "attn/proj",
    "MultiHeadDotProductAttention_0": "attn",
    "pre_head_layer_norm": "norm",
    "Transformer/encoder_norm": "norm",
    "Transformer/posembed_input/pos_embedding": "pos_embed",
    "conv_root": "patch_embed.backbone.stem.conv",
    "gn_root": "patch_embed.backbone.stem.norm",
    "conv_proj": "downsample.conv",
    "gn_proj": "downsample.norm",
    "gn": "norm",
    "kernel": "weight",
    "scale": "weight",
}


def ours(parameters):
    flat = {"/".join(path): np.asarray(value) for path, value in flatten_dict(parameters).items()}
    result = {}
    for name, value in flat.items():
        if "/value/" in name or "/key/" in name:
            continue
        if "/query/" in name:
            parts = [flat[name.replace("query", part)] for part in ("query", "key", "value")]
            rows = parts[0].shape[0] if name.endswith("kernel") else 1
            value = np.concatenate([part.reshape(rows, -1) for part in parts], axis=1)
            name = name.replace("query", "qkv")
        if value.ndim == 4 and name.startswith(("conv_root", "block")):
            value = value.transpose(3, 2, 0, 1)
        name = re.sub(
            r"^block(\d+)/unit(\d+)",
            lambda at: f"patch_embed.backbone.stages.{int(at[1]) - 1}.blocks.{int(at[2]) - 1}",
            name,
        )
        for theirs, mine in NAMES.items():
            name = re.sub(rf"(^|/){theirs}(?=/|\d|$)", rf"\1{mine}", name)
        if name == "cls":
            name = "cls_token"
        result[name.replace("/", ".")] = value
    return result


def main():
    for seed, (name, (build, larger)) in enumerate(CASES.items()):
        rng = np.random.default_rng(seed)
        model = build()
        parameters = random_parameters(model, 32, rng)
        archive = dict(published(*item) for item in flatten_dict(parameters).items())
        np.savez_compressed(OUT / f"{name}.npz", **archive)
        images = rounded(rng.uniform(-1, 1, (3, 32, 32, 3)))
        labels = np.eye(CLASSES, dtype=np.float32)[[1, 4, 0]]

        def loss(parameters):
            logits = model.apply({"params": parameters}, images, train=False)
            return -jnp.mean(jnp.sum(jax.nn.log_softmax(logits) * labels, axis=-1)), logits

        (value, logits), gradients = jax.value_and_grad(loss, has_aux=True)(parameters)
        io = dict(input_nhwc=images, labels_onehot=labels, logits=logits, loss=value)
        if larger:
            # That project's loader takes the model to other images and another head.
            adapted = build(CLASSES + 2)
            start = adapted.init(
                jax.random.PRNGKey(1), jnp.zeros((1, larger, larger, 3)), train=False
            )["params"]
            loaded = checkpoint.load_pretrained(
                pretrained_path=OUT / f"{name}.npz",
                init_params=start,
                model_config=Config(classifier="token", representation_size=None),
            )
            io["larger_nhwc"] = rounded(rng.uniform(-1, 1, (1, larger, larger, 3)))
            # The new head is zero, so what goes into it is compared: that of the old one on it.
            loaded = dict(loaded, head=parameters["head"])
            io["larger_logits"] = build().apply({"params": loaded}, io["larger_nhwc"], train=False)
        np.savez_compressed(OUT / f"{name}.io.npz", **io)
        # Of large gradients every 17th value: a prime, so that all rows and columns are met.
        sampled = {
            key: value.reshape(-1)[:: 17 if value.size > 1000 else 1]
            for key, value in ours(gradients).items()
        }
        np.savez_compressed(OUT / f"{name}.grads.npz", **sampled)
        sizes = {path.name: path.stat().st_size for path in OUT.glob(f"{name}*")}
        print(name, float(value), sizes, np.asarray(logits)[0])


main()
