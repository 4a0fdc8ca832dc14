"""NVIDIA Triton gives an exported model's golden answers.

    python tests/serving_triton.py serving-demo/exports        # make triton-demo

Needs nvidia-pytriton, whose wheel holds Triton's server, and of its backends only that for Python:
Triton carries the requests and the answers, and a function here has TensorFlow run the SavedModel.
Each model is asked by Triton's own client, over HTTP and gRPC, with the golden picture as a file
and as 8 bits a pixel. Prints what was compared; the exit status is 1 where something differs.
"""

import json
import socket
import sys
import tempfile
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import numpy as np
import tensorflow as tf
from pytriton.client import ModelClient
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig
from tritonclient.http import InferenceServerClient

SIGNATURES = ("serving_bytes", "serving_uint8")
LOOPBACK, LARGEST = "127.0.0.1", 1e-3  # as temzoo_client.py --check
TEXT = "string"


def main(exports: Path) -> int:
    folders = sorted(path.parent for path in exports.glob("*/*/assets.extra"))
    ports = {"http": free_port(), "grpc": free_port()}
    told = []
    with (
        tempfile.TemporaryDirectory(prefix="triton-") as temporary,
        started(folders, ports, Path(temporary)),
        closing(InferenceServerClient(f"{LOOPBACK}:{ports['http']}")) as client,
    ):
        about, wheel = client.get_server_metadata()["version"], version("nvidia-pytriton")
        print(f"Triton {about} of nvidia-pytriton {wheel}, TensorFlow {tf.__version__}")
        for folder in folders:
            for scheme, port in ports.items():
                told += check(folder, f"{scheme}://{LOOPBACK}:{port}")
    print(f"{len(told)} compared, {told.count(False)} differ")
    return int(not (told and all(told)))


def started(folders: list[Path], ports: dict[str, int], temporary: Path) -> Triton:
    """A server that has the signatures of all folders; as a context it stops at the end."""
    config = TritonConfig(
        http_address=LOOPBACK,
        http_port=ports["http"],
        grpc_address=LOOPBACK,
        grpc_port=ports["grpc"],
        allow_metrics=False,
        log_file=temporary / "log",
    )
    triton = Triton(config=config, workspace=temporary / "workspace")
    for folder in folders:
        bind(triton, folder)
    triton.run()
    return triton


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def card_of(folder: Path) -> dict:
    return json.loads((folder / "assets.extra" / "temzoo.json").read_text(encoding="utf-8"))


def name_of(folder: Path, signature: str) -> str:
    """What Triton calls a signature of a version: its models have one each."""
    return f"{folder.parent.name}_{folder.name}_{signature}"


def bind(triton: Triton, folder: Path) -> None:
    """Gives Triton the signatures of a SavedModel."""
    loaded, card = tf.saved_model.load(str(folder)), card_of(folder)
    for name in SIGNATURES:
        told = card["signatures"][name]
        triton.bind(
            model_name=name_of(folder, name),
            infer_func=function_of(loaded, loaded.signatures[name], told),
            inputs=[tensor(key, spec) for key, spec in told["inputs"].items()],
            outputs=[tensor(key, spec) for key, spec in told["outputs"].items()],
            config=ModelConfig(max_batch_size=8),
            strict=True,
        )


def tensor(name: str, spec: dict) -> Tensor:
    """Without the axis of the batch; Triton wants one more of what has no other."""
    shape = tuple(-1 if length is None else length for length in spec["shape"][1:]) or (1,)
    dtype = np.bytes_ if spec["dtype"] == TEXT else np.dtype(spec["dtype"])
    return Tensor(name=name, shape=shape, dtype=dtype)


def function_of(loaded, signature, told: dict):
    """A signature as Triton calls it."""

    @batch
    def answer(**inputs):
        tensors = {k: tf.constant(as_shape(v, told["inputs"][k])) for k, v in inputs.items()}
        found = {name: value.numpy() for name, value in signature(**tensors).items()}
        return {k: v if v.ndim > 1 else v[:, None] for k, v in found.items()}

    answer.loaded = loaded  # a signature does not keep its variables
    return answer


def as_shape(array: np.ndarray, spec: dict) -> np.ndarray:
    """With as many axes as the signature takes."""
    return array.reshape(array.shape[: len(spec["shape"])])


def check(folder: Path, url: str) -> list[bool]:
    """Whether both signatures give the golden answers, to the golden picture."""
    extra, good = folder / "assets.extra", []
    file = (extra / "golden.png").read_bytes()
    pixels = tf.io.decode_png(file).numpy()[None]
    asked = {"serving_bytes": np.array([[file]], np.object_), "serving_uint8": pixels}
    with np.load(extra / "golden.npz") as stored:
        golden = dict(stored)
    for signature, question in asked.items():
        with ModelClient(url, name_of(folder, signature), inference_timeout_s=300) as client:
            found = client.infer_batch(question)
        apart = {k: distance(found[k], v) for k, v in golden.items()}
        good.append(max(apart.values()) <= LARGEST)
        differences = ", ".join(f"{k} {v:.2g}" for k, v in apart.items())
        which = f"{folder.parent.name} {folder.name} {signature}"
        print(f"{'ok     ' if good[-1] else 'DIFFERS'}  {url} {which}: {differences}")
    return good


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found.reshape(expected.shape).astype(float) - expected).max())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
