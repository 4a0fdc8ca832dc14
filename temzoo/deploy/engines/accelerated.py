"""``accelerate``: a trained model in another engine or precision."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from temzoo.core.hints import did_you_mean
from temzoo.deploy.engines import choice
from temzoo.deploy.engines.choice import AUTO
from temzoo.deploy.engines.makers import MAKERS, PRECISIONS, check_installed, made
from temzoo.deploy.engines.model import AcceleratedModel
from temzoo.deploy.engines.network import Network
from temzoo.deploy.engines.runtime import cores

if TYPE_CHECKING:
    import keras


def accelerate(
    model: keras.Model,
    engine: str = AUTO,
    precision: str | None = None,
    *,
    examples: Sequence[Any] | None = None,
    calibration: Sequence[Any] | None = None,
    threads: int | None = None,
) -> AcceleratedModel:
    """A segmentation model, restorer or yolo in another engine or precision, for a CPU.

    ``auto`` takes the fastest that is installed and whose IoU on ``examples`` is within 0.002 of
    float32's; without examples it takes what it found for these weights before, or what the card of
    shipped ones says of lower precisions, else the fastest in float32. What it found is kept in
    ``~/.cache/temzoo/engines`` (or ``$XDG_CACHE_HOME``), for these weights, library versions and
    this processor. A restorer, which has no IoU, stays in float32 unless a precision is named.

    Args:
        model: from ``get_model``. Its weights are copied: training it further changes nothing.
        engine: "tensorflow"; "openvino" or "onnxruntime", which are extras; or "auto".
        precision: "float32"; "bfloat16" (tensorflow, openvino); "int8" (openvino, onnxruntime),
            calibrated on crops. None: float32; of engine "auto" whatever holds.
            Where the processor has no bfloat16, OpenVINO computes in float32.
        examples: labelled micrographs that ``auto`` judges by: validation images, some 20 or more.
        calibration: micrographs that int8 is calibrated on, such as those of training; 32 crops
            are taken. None: ``examples``, whose labels are not looked at.
        threads: of openvino and onnxruntime; None: all cores. TensorFlow has its own setting.

    Returns:
        What ``temzoo.predict``, ``evaluate`` and ``restore`` take in place of the model.

    Raises:
        ValueError: no such engine or precision, a model that is no network of pixels, or nothing
            to calibrate on.
        ImportError: the engine is not installed; the command is named.

    Example:
        >>> model = temzoo.get_model("unet_mobilenet", weights="emps")
        >>> fast = temzoo.accelerate(model, "openvino", "bfloat16")
        >>> temzoo.predict(fast, "particles.tif").instances.max()
    """
    threads = cores() if threads is None else threads
    check(engine, precision, threads)
    micrographs = examples if calibration is None else calibration
    if engine != AUTO:
        precision = precision or PRECISIONS[0]
        check_installed(engine, precision)
        if MAKERS[engine, precision].calibrates and micrographs is None:
            raise ValueError(
                f"{precision} is calibrated on micrographs. Received: none. Give some of those that"
                " the model was trained on: examples=load_dataset(…), or calibration=[paths]."
            )
        return made(Network(model, micrographs), engine, precision, threads)
    network = Network(model, micrographs)
    make = partial(made, network, threads=threads)
    return choice.choose(network, precision, threads, examples, make)


def check(engine: str, precision: str | None, threads: int = 1) -> None:
    """Raises ValueError for an engine and precision that there are not together."""
    engines = list(dict.fromkeys(name for name, _ in MAKERS))
    if engine not in (*engines, AUTO):
        raise ValueError(
            f"engine must be {AUTO} or one of {', '.join(engines)}. Received: engine={engine!r}."
            f"{did_you_mean(engine, [*engines, AUTO])}"
        )
    offered = [p for p in PRECISIONS if engine == AUTO or (engine, p) in MAKERS]
    if precision is not None and precision not in offered:
        raise ValueError(
            f"precision of {engine} must be one of {', '.join(offered)}. Received:"
            f" precision={precision!r}."
        )
    if threads < 1:
        raise ValueError(f"threads must be at least 1. Received: threads={threads}.")
