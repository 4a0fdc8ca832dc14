"""What an engine reads → a function from float32 pixels to float32 answers; without TensorFlow."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.tasks.endpoints import IMAGES

Answer = Callable[[np.ndarray], np.ndarray]  # (B, H, W, C) → (B, H, W, K), float32
Content = bytes | np.ndarray  # of a file; uint8 that lie in it, as ``numpy.memmap`` gives them
LIBRARIES = ("temzoo", "keras", "tensorflow", "onnxruntime", "openvino", "nncf")
OPENVINO_TYPES = {"float32": "f32", "bfloat16": "bf16"}


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def kept_in(name: str) -> Path:
    """A folder of ``~/.cache/temzoo``, or of ``$XDG_CACHE_HOME/temzoo``, for later calls."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "temzoo" / name


def versions() -> dict[str, str]:
    """Of the libraries that decide what an engine answers, and how fast; "" where it is absent."""
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            found[library] = ""
    return found


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


def open_onnx(file: Content, precision: str, threads: int) -> Answer:
    """A network of an ONNX file, in ONNX Runtime; its precision is that of the file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(bytes(file), options, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(None, {IMAGES: pixels})[0]


def open_openvino(file: Content, precision: str, threads: int) -> Answer:
    """A network that OpenVINO compiled, of this version and for this processor."""
    import openvino

    content = np.frombuffer(bytearray(file), np.uint8) if isinstance(file, bytes) else file
    held = openvino.Tensor(content, shared_memory=True)
    hints = openvino_hints(precision, threads)
    return partial(_ask, openvino.Core().import_model(held, "CPU", hints), held)


def _ask(compiled: Any, held: Any, pixels: np.ndarray) -> np.ndarray:
    """The answer of a network, whose weights lie in ``held``: they must live as long."""
    return compiled([pixels])[0]


def openvino_hints(precision: str, threads: int) -> dict[str, Any]:
    """How OpenVINO compiles a model that answers one call at a time.

    What int8 leaves in fractions is in bfloat16, where the processor has it.
    """
    if precision == "int8":
        precision = "bfloat16" if has_bfloat16() else "float32"
    return {
        # Said for float32 too: on some processors OpenVINO takes bfloat16 unasked.
        "INFERENCE_PRECISION_HINT": OPENVINO_TYPES[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,  # else it waits for cores that read and write other images
    }


OPENERS = {"onnxruntime": open_onnx, "openvino": open_openvino}
