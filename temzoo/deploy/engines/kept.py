"""Converted networks on disk: with one, a prediction starts without TensorFlow and Keras.

A file for each network, engine and precision lies in ``~/.cache/temzoo/networks``, or in
``$XDG_CACHE_HOME/temzoo/networks``: a line of JSON, then what the engine reads. Its name is a hash
of everything that the answer depends on: the weights file, the model's config and code, engine,
precision, versions and processor. A file that is damaged is made anew, and the least used are
removed where all together take more than ``MOST_BYTES``. What ``auto`` chose lies there too: it
holds as long as the file in which ``auto`` keeps what it measured. ``TEMZOO_NETWORKS=off`` keeps
nothing.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.core.files import atomic_path, read_json, write_json
from temzoo.core.normalization import Normalization
from temzoo.deploy.engines.model import AcceleratedModel, Facts, in_engine
from temzoo.deploy.engines.runtime import (
    OPENERS,
    Answer,
    Content,
    cores,
    kept_in,
    processor,
    versions,
)
from temzoo.zoo.built import Limits
from temzoo.zoo.cards import model_card
from temzoo.zoo.pretrained import Weights, sha256

FORMAT = 1
MOST_BYTES = 2**30
LONGEST_LINE = 2**20  # bytes
ALIGNED = 64  # bytes: of the line or a multiple, so that numbers lie where engines like them
# That can be kept, the faster first, and what converts to them: an ONNX Runtime alone cannot.
ENGINES = {"openvino": ("openvino",), "onnxruntime": ("onnxruntime", "tf2onnx")}
SWITCH = "TEMZOO_NETWORKS"
PLAIN = "float32"
PACKAGE = Path(__file__).parents[2]
CODE = ("models", "tasks", "deploy/engines")  # rooms that make a network what it is


@dataclass(frozen=True)
class Entry:
    """A network that is kept.

    Attributes:
        weights: as they were named; engine, precision: that it was converted for.
    """

    path: Path
    weights: str
    engine: str
    precision: str
    size: int
    used: float


def folder() -> Path:
    """Where the networks are kept."""
    return kept_in("networks")


def usual_engine() -> str | None:
    """The engine that ``temzoo predict`` uses unasked; None where TensorFlow serves better.

    That is: none is installed, nothing is to be kept, there is a GPU, or Keras was told to compute
    by another backend.
    """
    if _is_off() or Path("/proc/driver/nvidia").exists():
        return None
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        return None
    there = importlib.util.find_spec
    return next((name for name, wants in ENGINES.items() if all(map(there, wants))), None)


def _is_off() -> bool:
    return os.environ.get(SWITCH) == "off"


def kept_or_built(
    weights: Weights,
    config: Mapping[str, Any],
    engine: str,
    precision: str,
    build: Callable[[], Any],
) -> Any:
    """A trained model in an engine, from disk; or built, and kept for the next time.

    Models that are registered outside of temzoo are built every time.

    Args:
        weights: of the model; their file is checked.
        config: what the model is built with beside what its card says.
        build: gives the Keras model.

    Returns:
        The model for ``temzoo.predict``; the Keras model where the engine cannot run it as well.
    """
    if not model_card(weights.card.model).module.startswith("temzoo."):
        return build()  # of code that may change without a trace
    path = folder() / f"{_key(weights, config, engine, precision)}.network"
    known = None if _is_off() else opened(path)
    if known is not None:
        return known
    model = build()
    from temzoo.deploy.engines.makers import converted  # brings TensorFlow

    made = converted(model, engine, precision)
    if made is None:
        return model
    file, facts = made
    told = {"weights": str(weights.path), "engine": engine, "precision": precision}
    _keep(path, {**told, "facts": _as_json(facts)}, file)
    return in_engine(facts, engine, precision, _run(file, told))


def accelerated(
    weights: Weights,
    config: Mapping[str, Any],
    engine: str,
    precision: str | None,
    build: Callable[[], Any],
    calibration: Sequence[Any] | None = None,
) -> AcceleratedModel:
    """``accelerate`` of trained weights, from disk where it was kept.

    Args:
        weights, config, build: as in ``kept_or_built``; ``engine`` may be "auto".
        calibration: micrographs for int8, which is never kept.

    Raises:
        ValueError, ImportError: as ``accelerate`` does.
    """
    model, auto = None, engine == "auto" and calibration is None
    asked = (chosen(weights, config, precision) if auto else None) or (engine, precision or PLAIN)
    if asked[0] in ENGINES and asked[1] != "int8":
        model = kept_or_built(weights, config, *asked, build)
    if isinstance(model, AcceleratedModel):
        return model
    plain = model or build()
    from temzoo.deploy.engines.accelerated import accelerate  # brings TensorFlow

    made = accelerate(plain, engine, precision, calibration=calibration)
    if auto:
        keep_choice(weights, config, precision, made)
        if made.engine in ENGINES:
            kept_or_built(weights, config, made.engine, made.precision, lambda: plain)
    return made


def chosen(
    weights: Weights, config: Mapping[str, Any], precision: str | None
) -> tuple[str, str] | None:
    """The engine and precision that ``auto`` chose before; None where it has to choose anew."""
    if _is_off():
        return None
    try:
        told = read_json(_choice(weights, config, precision))
        if sha256(Path(told["memory"])) != told["sha256"]:
            return None
        return str(told["engine"]), str(told["precision"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def keep_choice(
    weights: Weights, config: Mapping[str, Any], precision: str | None, model: AcceleratedModel
) -> None:
    """Keeps what ``auto`` chose, unless an engine failed, which is to be said each time."""
    memory = model.memory
    if _is_off() or memory is None or any(one.failure for one in model.found):
        return
    told = {"engine": model.engine, "precision": model.precision, "memory": str(memory)}
    with suppress(OSError):
        write_json(_choice(weights, config, precision), {**told, "sha256": sha256(memory)})


def _choice(weights: Weights, config: Mapping[str, Any], precision: str | None) -> Path:
    return folder() / f"{_key(weights, config, 'auto', precision or '')}.choice"


def opened(path: Path) -> AcceleratedModel | None:
    """The network of a file; None where there is none, or it is damaged: it is removed then."""
    try:
        with path.open("rb") as whole:
            line = whole.readline(LONGEST_LINE)
        told = json.loads(line)
        file = np.memmap(path, np.uint8, "c", offset=len(line))  # not copied, and not written to
        if hashlib.sha256(file).hexdigest() != told["sha256"]:
            raise ValueError("damaged")
        facts = _facts(told["facts"])
        model = in_engine(facts, told["engine"], told["precision"], _run(file, told))
        os.utime(path)
    except FileNotFoundError:
        return None
    except Exception:  # whatever an engine makes of a file: it can be made anew
        with suppress(OSError):
            path.unlink()
        return None
    return model


def entries() -> list[Entry]:
    """What is kept, the last used first."""
    found = []
    for path in folder().glob("*.network"):
        with suppress(OSError, ValueError, KeyError), path.open("rb") as file:
            told, about = json.loads(file.readline(LONGEST_LINE)), path.stat()
            names = told["weights"], told["engine"], told["precision"]
            found.append(Entry(path, *names, about.st_size, about.st_mtime))
    return sorted(found, key=lambda entry: -entry.used)


def clear() -> int:
    """Removes all networks; returns how many there were."""
    paths = [*folder().glob("*.network")]
    for path in [*paths, *folder().glob("*.choice")]:
        path.unlink(missing_ok=True)
    return len(paths)


def _run(file: Content, told: Mapping[str, str]) -> Answer:
    return OPENERS[told["engine"]](file, told["precision"], cores())


def _keep(path: Path, told: Mapping[str, Any], file: bytes) -> None:
    """Writes a network whole; where that fails, as on a full disk, nothing is kept."""
    if _is_off():
        return
    line = json.dumps({**told, "sha256": hashlib.sha256(file).hexdigest()}).encode()
    line += b" " * (-(len(line) + 1) % ALIGNED) + b"\n"
    with suppress(OSError):
        with atomic_path(path) as temporary:
            temporary.write_bytes(line + file)
        total = 0
        for entry in entries():
            total += entry.size
            if total > MOST_BYTES and entry.path != path:
                entry.path.unlink(missing_ok=True)


def _key(weights: Weights, config: Mapping[str, Any], engine: str, precision: str) -> str:
    card = model_card(weights.card.model)
    told = {
        "format": FORMAT,
        "weights": sha256(weights.path),
        "names": list(weights.card.class_names),
        "limits": asdict(weights.card.limits),
        "model": card.name,
        "config": {**card.config, **weights.card.config, **config},
        "code": _code_sha256(),
        "engine": [engine, versions() if engine == "auto" else versions()[engine], precision],
        "processor": [processor(), cores()],
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _code_sha256() -> str:
    """Of the source that makes networks."""
    files = [path for room in CODE for path in sorted((PACKAGE / room).glob("*.py"))]
    return hashlib.sha256("".join(map(sha256, files)).encode()).hexdigest()


def _as_json(facts: Facts) -> dict[str, Any]:
    normalize = facts.normalize
    how = None if normalize is None else {k: getattr(normalize, k) for k in asdict(Normalization())}
    return {**vars(facts), "normalize": how, "limits": vars(facts.limits)}


def _facts(told: Mapping[str, Any]) -> Facts:
    lists: Sequence[str] = ("class_names", "input_shape", "output_shape")
    how = told["normalize"]
    normalize = None if how is None else Normalization(**how)
    made = {"normalize": normalize, "limits": Limits(**told["limits"])}
    return Facts(**{**told, **{k: tuple(told[k]) for k in lists}, **made})
