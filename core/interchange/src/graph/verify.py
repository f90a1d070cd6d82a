"""Runs an exported model: format, path, type and file of the images, file of the result, shape."""

import os
import site
import sys

# Isolated Python leaves out what the user has installed for himself, too.
site.addsitedir(site.getusersitepackages())

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
format, path, dtype, images, result, *shape = sys.argv[1:]
try:
    import numpy as np

    if format == "onnx":
        import onnxruntime
    else:
        import tensorflow as tf
except ImportError as error:
    # Told apart from a model that does not run.
    print(error, file=sys.stderr)
    sys.exit(3)

images = np.fromfile(images, dtype=dtype).reshape([int(size) for size in shape])
if format == "onnx":
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(None, {"images": images})[0]
else:
    serve = tf.saved_model.load(path).signatures["serving_default"]
    (found,) = serve(images=tf.constant(images)).values()
    found = found.numpy()
np.ascontiguousarray(found, dtype="<f4").tofile(result)
