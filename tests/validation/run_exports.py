"""Runs exported models and compares what they give with what the model gave.

    run_exports.py onnx|saved-model|tensorflow-c manifest.json

The manifest is a list of {name, path, input, dtype, cases: [{images, shape, expected}]}, where `images` and
`expected` are files of little-endian values. Prints {name: largest difference} as JSON. Every file is also
checked by its format's own checker, and must have the interface that is documented.
"""

import json
import os
import sys

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


def onnx_runner(model):
    import onnx
    import onnxruntime

    onnx.checker.check_model(model["path"], full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model["path"], options, providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    (output,) = session.get_outputs()
    assert image.name == "images" and image.shape[0] == "batch", image
    assert output.shape[0] == "batch", output
    if model["any_image_size"]:
        assert image.shape[1:3] == ["height", "width"], image
    found = session.get_modelmeta().custom_metadata_map
    names = json.loads(found["class_names"]) if "class_names" in found else None
    assert names == model.get("class_names"), names
    return lambda images: session.run([model["output"]], {"images": images})[0]


def saved_model_runner(model):
    import tensorflow as tf

    # The graph as it was written: optimising it takes longer than running it.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    if tf.config.threading.get_intra_op_parallelism_threads() != 1:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    loaded = tf.saved_model.load(model["path"])
    serve = loaded.signatures["serving_default"]
    (spec,) = serve.structured_input_signature[1].values()
    assert spec.name == "images" and spec.shape[0] is None, spec
    assert not model["any_image_size"] or spec.shape[1:3] == [None, None], spec
    names = None
    for asset in getattr(loaded, "asset_paths", []):
        with open(asset.asset_path.numpy()) as file:
            names = file.read().splitlines()
    assert names == model.get("class_names"), names
    # Keeps what it loaded alive.
    return lambda images, loaded=loaded: serve(images=tf.constant(images))[model["output"]].numpy()


def keras_runner(model):
    import keras

    layer = keras.layers.TFSMLayer(model["path"], call_endpoint="serving_default")
    return lambda images: layer(images)[model["output"]].numpy()


def c_runner(model):
    import tensorflow_c

    # One of it for all models.
    c_runner.library = getattr(c_runner, "library", None) or tensorflow_c.library()
    session = tensorflow_c.SavedModel(c_runner.library, model["path"])
    return lambda images: session.run(np.ascontiguousarray(images), model["output"])


RUNNERS = {"onnx": onnx_runner, "saved-model": saved_model_runner, "tensorflow-c": c_runner}


def main(format, manifest):
    with open(manifest) as file:
        models = json.load(file)
    found = {}
    for model in models:
        largest = 0.0
        for runner in [RUNNERS[format]] + ([keras_runner] if model.get("keras") else []):
            run = runner(model)
            for case in model["cases"]:
                images = np.fromfile(case["images"], dtype=model["dtype"]).reshape(case["shape"])
                expected = np.fromfile(case["expected"], dtype="<f4")
                logits = run(images)
                assert logits.shape[0] == case["shape"][0], (model["name"], logits.shape)
                difference = np.abs(logits.reshape(-1) - expected)
                largest = max(largest, float(difference.max()) if np.isfinite(difference).all() else 1e30)
        found[model["name"]] = largest
    assert format != "tensorflow-c" or "tensorflow" not in sys.modules
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
