"""Writes the extra files of a SavedModel into its folder ``assets.extra``.

temzoo.json                   the card: what the model is, what it takes and gives
golden.png, golden.npz        a picture and the model's answers, for a client to check itself by
tf_serving_warmup_requests    sent by TensorFlow Serving to itself before it serves, since the first
                              request to a graph takes many times as long as the next
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

import temzoo
from temzoo.core.normalization import Normalization
from temzoo.deploy.exporting import scenes
from temzoo.deploy.exporting.readme import public, public_card
from temzoo.deploy.exporting.saved_model import BYTES, ExportError, Signature
from temzoo.deploy.exporting.scenes import Question
from temzoo.tasks.endpoints import IMAGES, RAW
from temzoo.zoo import pretrained
from temzoo.zoo.built import built, limits_of, task_of
from temzoo.zoo.cards import model_card

FOLDER = "assets.extra"
CARD, PICTURE, ANSWERS = "temzoo.json", "golden.png", "golden.npz"
WARMUP = "tf_serving_warmup_requests"
WEIGHTS = ("sha256", "dataset", "licence", "scores", "date")  # of a weights card
SETTINGS = tuple(field.name for field in fields(Normalization))


def card(model: keras.Model, signatures: Mapping[str, Signature], name: str, version: int) -> dict:
    """What a client may want to know of a model; no paths, as they tell of the machine.

    ``image_size``, ``step`` (tiles are cut at multiples of it, px), ``max_detections`` and
    ``normalize`` (settings of the percentile normalisation) are null where there is no such thing;
    ``noise`` (above which micrographs are smoothed first) and ``side`` (beyond which they are
    binned, px) where nobody has measured it, and so are ``weights`` that no weights card tells of:
    made at random, or trained since. ``binning`` is that of the training micrographs.
    """
    how, task = built(model), task_of(model)
    layer = task.normalizer(model)
    about = model_card(how.name)
    height, _, channels = signatures[RAW].endpoint.inputs[IMAGES]
    return {
        "name": name,
        "version": version,
        "model": how.name,
        "task": how.task,
        "summary": about.summary,
        "paper": about.paper,
        "config": {key: public(value) for key, value in how.config.items()},
        "class_names": list(how.class_names),
        "weights": _weights(model),
        **asdict(limits_of(model)),
        "channels": channels,
        "image_size": height,
        **task.served_facts(model),
        "normalize": layer and {key: layer.get_config()[key] for key in SETTINGS},
        "pixels": "in [0, 1]; whole numbers are divided by the largest of their type"
        if signatures[RAW].endpoint.unit
        else "raw, in their stored range",
        "signatures": {key: _told(signature) for key, signature in sorted(signatures.items())},
        "date": datetime.date.today().isoformat(),
        "versions": {
            "temzoo": temzoo.__version__,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
        },
    }


def _weights(model: keras.Model) -> dict[str, Any] | None:
    """Where the weights come from and what they are worth, as their card says."""
    told = built(model).weights
    # The optimizer counts what ``fit`` did after they were loaded.
    since = model.compiled and int(model.optimizer.iterations)
    if told is None or since:
        return None
    told = public_card(told)
    return {key: getattr(told, key) for key in WEIGHTS}


def _told(signature: Signature) -> dict:
    sides = {"inputs": signature.inputs, "outputs": signature.outputs}
    return {
        side: {k: {"dtype": v.dtype.name, "shape": v.shape.as_list()} for k, v in specs.items()}
        for side, specs in sides.items()
    }


def golden(signatures: Mapping[str, Signature]) -> list[Question]:
    """One question to each signature, of the golden picture; the last of files is of 8 bits."""
    asked = {q.signature: q for q in reversed(scenes.questions(signatures, (scenes.GOLDEN,)))}
    return [asked[name] for name in signatures]


def write(folder: Path, told: Mapping[str, Any], golden: list[Question]) -> None:
    """Writes the card, the golden picture with its answers, and the warm-up requests.

    Args:
        folder: of the SavedModel.
        told: the card.
        golden: of ``golden``.

    Raises:
        ExportError: the warm-up requests, parsed again, are not what was written.
    """
    folder = folder / FOLDER
    folder.mkdir(exist_ok=True)
    of = {question.signature: question for question in golden}
    (folder / PICTURE).write_bytes(_picture(of))
    np.savez_compressed(folder / ANSWERS, **of.get(BYTES, of[RAW]).expected)
    hashes = {name: pretrained.sha256(folder / name) for name in (PICTURE, ANSWERS)}
    text = json.dumps({**told, "golden": hashes}, indent=2, default=str, ensure_ascii=False)
    (folder / CARD).write_text(text + "\n", encoding="utf-8")
    _write_warmup(folder / WARMUP, told["name"], golden)


def _picture(golden: Mapping[str, Question]) -> bytes:
    """The golden picture as a PNG; of a model of more channels than files have, the first."""
    if BYTES in golden:
        (file,) = next(iter(golden[BYTES].inputs.values()))
        return file
    return scenes.png(golden["serving_uint8"].inputs[IMAGES][0][..., :1])


def _write_warmup(path: Path, name: str, questions: Iterable[Question]) -> None:
    """Writes a record for each question to the model of this name, and reads them again."""
    requests = [_request(name, question) for question in questions]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for request in requests:
            log = prediction_log_pb2.PredictLog(request=request)
            record = prediction_log_pb2.PredictionLog(predict_log=log)
            writer.write(record.SerializeToString())
    if warmup_requests(path) != requests:
        raise ExportError(
            f"Warm-up records must parse to what was written. Received: others in {path}. Check the"
            " free space of the disk, and export again."
        )


def _request(name: str, question: Question) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = question.signature
    for key, array in question.inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(array))
    return request


def warmup_requests(path: Path) -> list[predict_pb2.PredictRequest]:
    """The requests of a SavedModel's warm-up records."""
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    logs = map(prediction_log_pb2.PredictionLog.FromString, records)
    return [log.predict_log.request for log in logs]
