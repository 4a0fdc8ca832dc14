"""Engine and precision → a network as a function from float32 pixels to float32 answers.

``MAKERS`` lists them. One more is a function of a ``Network`` and a number of threads, whose result
takes (B, H, W, C) to (B, H, W, K), one call at a time; or gives what ``runtime.OPENERS`` opens.

OpenVINO and NNCF would report their use over the network; they are kept from it: models are read
by OpenVINO's own reader, which does not, and NNCF is imported without its reporter.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.deploy.engines.model import AcceleratedModel, Facts, in_engine
from temzoo.deploy.engines.network import ANSWER, Network
from temzoo.deploy.engines.runtime import OPENERS, Answer, cores, openvino_hints
from temzoo.deploy.exporting.other_formats import check_installed as check_extra
from temzoo.tasks.endpoints import IMAGES

PRECISIONS = ("float32", "bfloat16", "int8")
EXACT = 1e-3  # probability by which float32 may differ where nobody judges
CHECKED_SIDE = 96  # px of the noise that a converted network and its model are asked of


@dataclass(frozen=True)
class Maker:
    """How one engine runs a network in one precision.

    Attributes:
        make: of a network and a number of threads; None of an engine that reads a file.
        convert: to the bytes that the engine's opener reads.
        extra: of temzoo that it needs: "onnx", "openvino" or "" for none.
        calibrates: whether it needs crops.
    """

    make: Callable[[Network, int], Answer] | None
    convert: Callable[[Network, int], bytes] | None = None
    extra: str = ""
    calibrates: bool = False


def check_installed(engine: str, precision: str) -> None:
    """Raises ImportError, with the command, where what an engine needs is missing."""
    wanted = MAKERS[engine, precision]
    if wanted.extra == "onnx":
        check_extra(wanted.extra)
    if engine == "openvino" and importlib.util.find_spec("openvino") is None:
        raise ImportError(
            "The engine openvino is an extra. Received: no openvino. Install it: pip install"
            " 'temzoo[openvino]'."
        )
    if engine == "openvino" and wanted.calibrates and importlib.util.find_spec("nncf") is None:
        raise ImportError(
            "int8 in OpenVINO needs one more package. Received: no nncf. Install it: pip install"
            " 'temzoo[openvino]'."
        )


def made(network: Network, engine: str, precision: str, threads: int) -> AcceleratedModel:
    """A network in an engine."""
    maker = MAKERS[engine, precision]
    if maker.make is not None:
        run = maker.make(network, threads)
    else:
        run = OPENERS[engine](maker.convert(network, threads), precision, threads)
    return in_engine(network.facts, engine, precision, run)


def converted(model: Any, engine: str, precision: str) -> tuple[bytes, Facts] | None:
    """The network of a model as an engine's file, and what must be known of the model.

    Returns:
        None where the model has no such network, the engine cannot run it, or, in float32, answers
        otherwise than the model.
    """
    check_installed(engine, precision)
    try:
        network = Network(model)
        file = MAKERS[engine, precision].convert(network, cores())
        noise = network.noise(CHECKED_SIDE)
        expected = np.asarray(network.core([noise], training=False))
        apart = float(np.abs(OPENERS[engine](file, precision, cores())(noise) - expected).max())
    except Exception:  # of models that are registered elsewhere too, whatever breaks in an engine
        return None
    return (file, network.facts) if precision != "float32" or apart <= EXACT else None


def _tensorflow(network: Network, policy: str) -> Answer:
    import tensorflow as tf

    graph = network.frozen(policy)

    def answer(pixels: np.ndarray) -> np.ndarray:
        (found,) = graph(tf.constant(pixels))
        return tf.cast(found, tf.float32).numpy()

    return answer


def _onnx_int8(network: Network, threads: int) -> bytes:
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
        return whole.read_bytes()


def _reader(network: Network) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Crops(CalibrationDataReader):
        def __init__(self):
            self.left = iter(network.crops)

        def get_next(self):
            crop = next(self.left, None)
            return None if crop is None else {IMAGES: crop}

    return Crops()


def _openvino_int8(network: Network, threads: int) -> bytes:
    """Whole numbers in the convolutions."""
    nncf = _nncf()
    # Its progress bars are drawn on the standard output.
    with redirect_stdout(StringIO()):
        whole = nncf.quantize(
            _read(network),
            nncf.Dataset(network.crops),
            subset_size=len(network.crops),
            preset=nncf.QuantizationPreset.MIXED,
        )
    return _compiled(whole, "int8", threads)


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

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.pb"
        path.write_bytes(network.graph)
        model = openvino.Core().read_model(path)
    # OpenVINO takes whatever nothing else takes for an answer too, such as shapes.
    return openvino.Model([model.output(f"{ANSWER}:0")], model.get_parameters())


def _compiled(model: Any, precision: str, threads: int) -> bytes:
    import openvino

    compiled = openvino.Core().compile_model(model, "CPU", openvino_hints(precision, threads))
    return compiled.export_model().getvalue()


MAKERS = {
    ("tensorflow", "float32"): Maker(lambda network, _: _tensorflow(network, "float32")),
    ("tensorflow", "bfloat16"): Maker(lambda network, _: _tensorflow(network, "mixed_bfloat16")),
    ("onnxruntime", "float32"): Maker(None, lambda network, _: network.onnx, "onnx"),
    ("onnxruntime", "int8"): Maker(None, _onnx_int8, "onnx", calibrates=True),
    ("openvino", "float32"): Maker(
        None, lambda network, n: _compiled(_read(network), "float32", n), "openvino"
    ),
    ("openvino", "bfloat16"): Maker(
        None, lambda network, n: _compiled(_read(network), "bfloat16", n), "openvino"
    ),
    ("openvino", "int8"): Maker(None, _openvino_int8, "openvino", calibrates=True),
}
