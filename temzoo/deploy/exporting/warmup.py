"""Requests that TensorFlow Serving sends itself before it serves, so that no client waits.

The first request to a graph takes many times as long as the next: memory and kernels are prepared.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from temzoo.deploy.exporting.errors import ExportError
from temzoo.deploy.exporting.scenes import Question

FILE = "assets.extra/tf_serving_warmup_requests"


def write(folder: Path, name: str, questions: Iterable[Question]) -> None:
    """Writes a record for each question.

    Args:
        folder: of the SavedModel.
        name: that the model is served by.
        questions: one to each signature.
    """
    path = folder / FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for question in questions:
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.model_spec.signature_name = question.signature
            for key, array in question.inputs.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(array))
            log = prediction_log_pb2.PredictLog(request=request)
            record = prediction_log_pb2.PredictionLog(predict_log=log)
            writer.write(record.SerializeToString())


def read(folder: Path) -> list[predict_pb2.PredictRequest]:
    """The requests of a SavedModel's records."""
    records = tf.data.TFRecordDataset(str(folder / FILE)).as_numpy_iterator()
    logs = map(prediction_log_pb2.PredictionLog.FromString, records)
    return [log.predict_log.request for log in logs]


def check(folder: Path, name: str, questions: Iterable[Question]) -> None:
    """Raises ExportError unless the records, parsed again, are the questions."""
    questions, requests = list(questions), read(folder)
    asked = [(name, q.signature, sorted(q.inputs)) for q in questions]
    read_back = [
        (r.model_spec.name, r.model_spec.signature_name, sorted(r.inputs)) for r in requests
    ]
    equal = asked == read_back and all(
        np.array_equal(tf.make_ndarray(request.inputs[key]), array)
        for request, question in zip(requests, questions, strict=True)
        for key, array in question.inputs.items()
    )
    if not equal:
        raise ExportError(
            f"Warm-up records must parse to what was written. Received: {read_back}, not {asked}."
        )
