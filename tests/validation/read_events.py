"""Reads a folder of event files as TensorBoard does, and prints what it finds as JSON.

    read_events.py FOLDER
"""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "tensors": 0, "histograms": 0, "images": 0}).Reload()
scalars = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
metadata = events.SummaryMetadata("_hparams_/session_start_info")
session = plugin_data_pb2.HParamsPluginData.FromString(metadata.plugin_data.content)
hparams = session.session_start_info.hparams
value = {"number_value": float, "string_value": str, "bool_value": bool}
print(
    json.dumps(
        {
            "steps": {tag: [event.step for event in found] for tag, found in scalars.items()},
            "values": {tag: [event.value for event in found] for tag, found in scalars.items()},
            "histograms": {
                tag: {found.step: found.histogram_value.num for found in events.Histograms(tag)}
                for tag in events.Tags()["histograms"]
            },
            "images": {
                tag: [[found.step, found.width, found.height] for found in events.Images(tag)]
                for tag in events.Tags()["images"]
            },
            "predictions": [
                found.tensor_proto.string_val[0].decode() for found in events.Tensors("samples/predictions")
            ],
            "text": events.Tensors("experiment")[0].tensor_proto.string_val[0].decode(),
            "hparams": {
                name: value[kind](getattr(found, kind))
                for name, found in hparams.items()
                if (kind := found.WhichOneof("kind"))
            },
        }
    )
)
