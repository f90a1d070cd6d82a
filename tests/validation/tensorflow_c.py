"""Loads and runs a SavedModel through TensorFlow's C API, whose library comes with the Python package, which
is not imported."""

import ctypes
import importlib.util
from pathlib import Path

import numpy as np

# TF_DataType.
TYPES = {np.dtype("<f4"): 1, np.dtype("u1"): 4}


class Output(ctypes.Structure):
    """TF_Output"""

    _fields_ = [("oper", ctypes.c_void_p), ("index", ctypes.c_int)]


def library():
    """The library, with the types of what is called here, as `tensorflow/c/c_api.h` declares them."""
    folder = Path(importlib.util.find_spec("tensorflow").origin).parent
    # `.so.2`, or `.2.dylib`.
    for part in ("framework", "cc"):
        (file,) = folder.glob(f"libtensorflow_{part}.*")
        tf = ctypes.CDLL(str(file), ctypes.RTLD_GLOBAL)
    pointer, text, integer, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t
    sizes, pointers, outputs = map(ctypes.POINTER, (ctypes.c_int64, pointer, Output))
    for name, result, arguments in [
        ("TF_NewStatus", pointer, []),
        ("TF_DeleteStatus", None, [pointer]),
        ("TF_GetCode", integer, [pointer]),
        ("TF_Message", text, [pointer]),
        ("TF_NewGraph", pointer, []),
        ("TF_DeleteGraph", None, [pointer]),
        ("TF_NewSessionOptions", pointer, []),
        ("TF_DeleteSessionOptions", None, [pointer]),
        (
            "TF_LoadSessionFromSavedModel",
            pointer,
            [pointer, pointer, text, ctypes.POINTER(text), integer, pointer, pointer, pointer],
        ),
        ("TF_DeleteSession", None, [pointer, pointer]),
        ("TF_GraphOperationByName", pointer, [pointer, text]),
        ("TF_AllocateTensor", pointer, [integer, sizes, integer, size]),
        ("TF_DeleteTensor", None, [pointer]),
        ("TF_TensorData", pointer, [pointer]),
        ("TF_TensorByteSize", size, [pointer]),
        ("TF_NumDims", integer, [pointer]),
        ("TF_Dim", ctypes.c_int64, [pointer, integer]),
        (
            "TF_SessionRun",
            None,
            [pointer, pointer, outputs, pointers, integer, outputs, pointers, integer]
            + [pointers, integer, pointer, pointer],
        ),
    ]:
        function = getattr(tf, name)
        function.restype, function.argtypes = result, arguments
    return tf


class SavedModel:
    """A session with a SavedModel's graph and variables."""

    def __init__(self, tf, path):
        self.tf = tf
        self.status, self.graph = tf.TF_NewStatus(), tf.TF_NewGraph()
        options = tf.TF_NewSessionOptions()
        tags = (ctypes.c_char_p * 1)(b"serve")
        self.session = tf.TF_LoadSessionFromSavedModel(
            options, None, str(path).encode(), tags, 1, self.graph, None, self.status
        )
        tf.TF_DeleteSessionOptions(options)
        self.check()

    def check(self):
        if self.tf.TF_GetCode(self.status) != 0:
            raise RuntimeError(self.tf.TF_Message(self.status).decode())

    def node(self, name):
        found = self.tf.TF_GraphOperationByName(self.graph, name.encode())
        assert found, f"the graph has no node {name}"
        return Output(found, 0)

    def run(self, images, output):
        """The only result of a node for images."""
        tf = self.tf
        shape = (ctypes.c_int64 * images.ndim)(*images.shape)
        given = tf.TF_AllocateTensor(TYPES[images.dtype], shape, images.ndim, images.nbytes)
        ctypes.memmove(tf.TF_TensorData(given), images.ctypes.data, images.nbytes)
        inputs, outputs = self.node("serving_default_images"), self.node(output)
        values, results = (ctypes.c_void_p * 1)(given), (ctypes.c_void_p * 1)()
        tf.TF_SessionRun(
            self.session, None, ctypes.byref(inputs), values, 1, ctypes.byref(outputs), results, 1,
            None, 0, None, self.status,
        )
        tf.TF_DeleteTensor(given)
        self.check()
        (result,) = results
        sizes = [tf.TF_Dim(result, axis) for axis in range(tf.TF_NumDims(result))]
        data = ctypes.string_at(tf.TF_TensorData(result), tf.TF_TensorByteSize(result))
        tf.TF_DeleteTensor(result)
        return np.frombuffer(data, "<f4").reshape(sizes)

    def close(self):
        self.tf.TF_DeleteSession(self.session, self.status)
        self.check()
        self.tf.TF_DeleteGraph(self.graph)
        self.tf.TF_DeleteStatus(self.status)
