"""Asks TensorFlow Serving for its answer to an image file; needs neither temzoo nor TensorFlow.

    python temzoo_client.py http://localhost:8501/NAME image.png      REST: needs NumPy
    python temzoo_client.py grpc://localhost:8500/NAME image.png      needs tensorflow-serving-api
    … --check answers.npz       compares with golden.npz of assets.extra, for golden.png
    … --out answers.npz         keeps the answers

The file is PNG, JPEG, BMP or GIF; a PNG of 16 bits keeps them.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

SIGNATURE = "serving_bytes"
LARGEST_MESSAGE = 2**31 - 1  # gRPC's own limit, 4 MB, is less than most answers


def ask_rest(url: str, file: bytes) -> dict[str, np.ndarray]:
    """Answers by REST; a single one comes without its name, and is called ``answer``."""
    parts = urlsplit(url)
    address = f"{parts.scheme}://{parts.netloc}/v1/models{parts.path}:predict"
    coded = {"b64": base64.b64encode(file).decode()}
    question = {"signature_name": SIGNATURE, "inputs": {"image_bytes": [coded]}}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(address, json.dumps(question).encode(), headers)
    with urllib.request.urlopen(request) as response:
        outputs = json.load(response)["outputs"]
    outputs = outputs if isinstance(outputs, dict) else {"answer": outputs}
    return {name: np.array(values) for name, values in outputs.items()}


def ask_grpc(url: str, file: bytes) -> dict[str, np.ndarray]:
    """Answers by gRPC."""
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    parts = urlsplit(url)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = parts.path.strip("/")
    request.model_spec.signature_name = SIGNATURE
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([file]))
    options = [("grpc.max_receive_message_length", LARGEST_MESSAGE)]
    with grpc.insecure_channel(parts.netloc, options=options) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        outputs = stub.Predict(request, timeout=600).outputs
    return {name: tf.make_ndarray(value) for name, value in outputs.items()}


def deviations(found: dict[str, np.ndarray], golden: Path) -> dict[str, float]:
    """Largest difference of each answer from the golden one."""
    with np.load(golden) as stored:
        expected = dict(stored)
    if len(expected) == 1:
        found = dict(zip(expected, found.values(), strict=True))
    return {k: float(np.abs(found[k].astype(float) - v).max()) for k, v in expected.items()}


def main() -> int:
    """Prints what came back; 1 where it is not what was expected."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("url", help="http://HOST:8501/NAME or grpc://HOST:8500/NAME")
    options.add_argument("image", type=Path)
    options.add_argument("--check", type=Path, metavar="NPZ")
    options.add_argument("--out", type=Path, metavar="NPZ")
    given = options.parse_args()
    ask = ask_grpc if given.url.startswith("grpc://") else ask_rest
    found = ask(given.url, given.image.read_bytes())
    for name, value in sorted(found.items()):
        print(f"{name}: {value.dtype} {value.shape}, {value.min():g} to {value.max():g}")
    if given.out:
        np.savez_compressed(given.out, **found)
    if not given.check:
        return 0
    apart = deviations(found, given.check)
    print("furthest from golden:", ", ".join(f"{k} {v:.2g}" for k, v in apart.items()))
    return int(not max(apart.values()) <= 1e-3)


if __name__ == "__main__":
    sys.exit(main())
