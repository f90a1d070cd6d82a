"""Times an ONNX file of Vitral's next to timm's own export of the same model with the same weights.

    compare_onnx.py make vit_tiny_patch16_224 FOLDER     # FOLDER/timm.onnx, FOLDER/model.safetensors
    vitral import FOLDER/model.safetensors --out FOLDER/model
    vitral export FOLDER/model --format onnx --out FOLDER/vitral.onnx
    compare_onnx.py time FOLDER [--batch 1 8] [--rounds 15] [--threads 2]

Both run in onnxruntime, taking turns. Ratios are those of neighbours in one round: the median, the quartiles, the
least and the most. They are of time, and of CPU time, which tells more on a busy machine. `make` needs onnxscript beside what tests/validation/setup installs.
"""

import argparse
import os
import statistics
import time

import numpy as np


def make(name, folder):
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    os.makedirs(folder, exist_ok=True)
    model = timm.create_model(name, pretrained=False).eval()
    save_file(model.state_dict(), f"{folder}/model.safetensors")
    image = torch.randn(2, *model.default_cfg["input_size"])
    batch = {"images": {0: torch.export.Dim("batch")}}
    program = torch.onnx.export(
        model, (image,), dynamo=True, input_names=["images"], output_names=["logits"],
        dynamic_shapes=({0: batch["images"][0]},), opset_version=20,
    )
    program.save(f"{folder}/timm.onnx", external_data=False)


def measure(folder, batches, rounds, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    open_session = lambda name: onnxruntime.InferenceSession(
        f"{folder}/{name}.onnx", options, providers=["CPUExecutionProvider"]
    )
    names = ["vitral", "timm"]
    sessions = {name: open_session(name) for name in names}
    for name in names:
        print(f"{name}.onnx: {os.path.getsize(f'{folder}/{name}.onnx')} bytes")
    channels, height, width = sessions["timm"].get_inputs()[0].shape[1:]
    for batch in batches:
        images = np.random.default_rng(0).standard_normal((batch, channels, height, width), dtype=np.float32)
        layouts = {"timm": images, "vitral": np.ascontiguousarray(images.transpose(0, 2, 3, 1))}
        run = lambda name: sessions[name].run(None, {sessions[name].get_inputs()[0].name: layouts[name]})[0]
        difference = np.abs(run("vitral") - run("timm")).max()
        samples = {name: [] for name in names}
        for turn in range(rounds):
            for name in names if turn % 2 == 0 else reversed(names):
                start = time.perf_counter(), time.process_time()
                run(name)
                samples[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
        print(f"batch {batch}: largest difference {difference:.1e}")
        for index, what in enumerate(["time", "CPU time"]):
            of = {name: [sample[index] for sample in samples[name]] for name in names}
            ratios = sorted(v / t for v, t in zip(of["vitral"], of["timm"]))
            low, median, high = statistics.quantiles(ratios, n=4)
            medians = [f"{name} {1000 * statistics.median(of[name]):.1f} ms" for name in names]
            print(
                f"  {what}: {', '.join(medians)}, ratio {median:.3f} (quartiles {low:.3f} to {high:.3f}, "
                f"all {ratios[0]:.3f} to {ratios[-1]:.3f})"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["make", "time"])
    parser.add_argument("arguments", nargs="+")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    if given.what == "make":
        make(*given.arguments)
    else:
        measure(*given.arguments, given.batch, given.rounds, given.threads)
