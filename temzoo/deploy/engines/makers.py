"""Engine and precision → a network as a function from float32 pixels to float32 answers.

``MAKERS`` lists them; one more is a function of a ``Network`` and a number of threads, whose result
takes (B, H, W, C) to (B, H, W, K), one call at a time.

OpenVINO and NNCF would report their use over the network; they are kept from it: models are read
by OpenVINO's own reader, which does not, and NNCF is imported without its reporter.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.deploy.engines.network import Network
from temzoo.deploy.exporting.other_formats import check_installed as check_extra
from temzoo.tasks.endpoints import IMAGES

Answer = Callable[[np.ndarray], np.ndarray]  # (B, H, W, C) → (B, H, W, K), float32
PRECISIONS = ("float32", "bfloat16", "int8")
OPENVINO_TYPES = {"float32": "f32", "bfloat16": "bf16"}


@dataclass(frozen=True)
class Maker:
    """How one engine runs a network in one precision.

    Attributes:
        make: of a network and a number of threads.
        extra: of temzoo that it needs: "onnx", "openvino" or "" for none.
        calibrates: whether it needs crops.
    """

    make: Callable[[Network, int], Answer]
    extra: str = ""
    calibrates: bool = False


def check_installed(engine: str, precision: str) -> None:
    """Raises ImportError, with the command, where what an engine needs is missing."""
    wanted = MAKERS[engine, precision]
    if wanted.extra:
        check_extra(wanted.extra)
    if engine == "openvino" and wanted.calibrates and importlib.util.find_spec("nncf") is None:
        raise ImportError(
            "int8 in OpenVINO needs one more package. Received: no nncf. Install it: pip install"
            " 'temzoo[openvino]'."
        )


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def processor() -> str:
    """The processor's abilities, as Linux lists them; elsewhere its name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    words = [line.partition(":")[2] for line in lines if line.startswith(("flags", "Features"))]
    return " ".join(sorted(set(words[0].split()))) if words else platform.machine()


def has_bfloat16() -> bool:
    """Whether the processor computes in bfloat16 itself; else it is slower than float32."""
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(processor().split()))


def _tensorflow(network: Network, policy: str) -> Answer:
    import tensorflow as tf

    graph = network.frozen(policy)

    def answer(pixels: np.ndarray) -> np.ndarray:
        (found,) = graph(tf.constant(pixels))
        return tf.cast(found, tf.float32).numpy()

    return answer


def _onnxruntime_int8(network: Network, threads: int) -> Answer:
    """Weights by channel in signed, what lies between layers in unsigned whole numbers."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        plain, folded, whole = (Path(folder) / f"{name}.onnx" for name in ("a", "b", "c"))
        plain.write_bytes(network.onnx)
        # Its own inference of shapes stops at sizes that are known only at run time.
        quant_pre_process(plain, folded, skip_symbolic_shape=True)
        quantization.quantize_static(
            folded,
            whole,
            _reader(network),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        return _session(whole.read_bytes(), threads)


def _reader(network: Network) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Crops(CalibrationDataReader):
        def __init__(self):
            self.left = iter(network.crops)

        def get_next(self):
            crop = next(self.left, None)
            return None if crop is None else {IMAGES: crop}

    return Crops()


def _session(file: bytes, threads: int) -> Answer:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(None, {IMAGES: pixels})[0]


def _openvino_int8(network: Network, threads: int) -> Answer:
    """Whole numbers in the convolutions; what is left in bfloat16, where the processor has it."""
    nncf = _nncf()
    # Its progress bars are drawn on the standard output.
    with redirect_stdout(StringIO()):
        whole = nncf.quantize(
            _read(network),
            nncf.Dataset(network.crops),
            subset_size=len(network.crops),
            preset=nncf.QuantizationPreset.MIXED,
        )
    return _compiled(whole, "bfloat16" if has_bfloat16() else "float32", threads)


def _nncf() -> Any:
    reporter = "openvino_telemetry"
    known = sys.modules.get(reporter)
    sys.modules[reporter] = None  # an import of it fails, which NNCF is prepared for
    try:
        import nncf
    finally:
        del sys.modules[reporter]
        if known is not None:
            sys.modules[reporter] = known
    nncf.set_log_level(logging.ERROR)
    return nncf


def _read(network: Network) -> Any:
    import openvino

    return openvino.Core().read_model(network.onnx)


def _compiled(model: Any, precision: str, threads: int) -> Answer:
    import openvino

    compiled = openvino.Core().compile_model(model, "CPU", openvino_hints(precision, threads))
    return lambda pixels: compiled([pixels])[0]


def openvino_hints(precision: str, threads: int) -> dict[str, Any]:
    """How OpenVINO compiles a model that answers one call at a time."""
    return {
        # Said for float32 too: on some processors OpenVINO takes bfloat16 unasked.
        "INFERENCE_PRECISION_HINT": OPENVINO_TYPES[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
    }


MAKERS = {
    ("tensorflow", "float32"): Maker(lambda network, _: _tensorflow(network, "float32")),
    ("tensorflow", "bfloat16"): Maker(lambda network, _: _tensorflow(network, "mixed_bfloat16")),
    ("onnxruntime", "float32"): Maker(lambda network, n: _session(network.onnx, n), "onnx"),
    ("onnxruntime", "int8"): Maker(_onnxruntime_int8, "onnx", calibrates=True),
    ("openvino", "float32"): Maker(
        lambda network, n: _compiled(_read(network), "float32", n), "openvino"
    ),
    ("openvino", "bfloat16"): Maker(
        lambda network, n: _compiled(_read(network), "bfloat16", n), "openvino"
    ),
    ("openvino", "int8"): Maker(_openvino_int8, "openvino", calibrates=True),
}
