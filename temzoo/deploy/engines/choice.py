"""``auto``: engines timed side by side, judged from the fastest on, and what was found kept.

One JSON file for each network, library versions and processor lies in ``~/.cache/temzoo/engines``,
or in ``$XDG_CACHE_HOME/temzoo/engines``. Whoever wants it measured again removes it.
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from temzoo.core.files import read_json, write_json
from temzoo.deploy.engines.makers import EXACT, MAKERS, PRECISIONS, check_installed
from temzoo.deploy.engines.network import Network
from temzoo.deploy.engines.runtime import has_bfloat16, kept_in, processor, versions
from temzoo.evaluation.evaluate import evaluate
from temzoo.zoo import built

AUTO = "auto"
SAFE = ("tensorflow", "float32")  # what is taken where nothing else holds
WITHIN = 0.002  # IoU that an engine's may differ from float32's
SIDE, ROUNDS = 256, 5
FORMAT = 1
Key = tuple[str, str]  # engine and precision


@dataclass(frozen=True)
class Row:
    """What was found of an engine and a precision.

    Attributes:
        seconds: median for a tile of 256 px; infinite where the engine failed.
        difference: largest of a probability on that tile, from the model's own answer.
        iou: on the examples; None where it was not judged, because a faster one held.
        loss: how far that is from float32's.
        calibration: sha256 of the crops that it was calibrated on; "" of one that is not.
        failure: what went wrong.
    """

    engine: str
    precision: str
    seconds: float = math.inf
    difference: float = math.inf
    iou: float | None = None
    loss: float | None = None
    calibration: str = ""
    failure: str = ""

    @property
    def key(self) -> Key:
        return self.engine, self.precision


def choose(
    network: Network,
    precision: str | None,
    threads: int,
    examples: Sequence[Any] | None,
    made: Callable[[str, str], Any],
) -> Any:
    """The fastest engine that holds, with all rows as its ``found``.

    Args:
        precision: the only one that is tried; None: all.
        threads: of each engine, for the memory.
        examples: labelled micrographs to judge by; None: there are none.
        made: gives the model of an engine and a precision.
    """
    judged = examples is not None and not network.restores
    path = memory(network, threads)
    known = {(*row.key, row.calibration): row for row in recalled(path)}
    usable = {(*key, _calibration(network, key)): key for key in candidates(network, precision)}
    vouched = {} if judged else vouched_for(network)
    # Without a judge a lower precision is tried only where it was named, or the card tells of it.
    tried = [
        of
        for of, key in usable.items()
        if judged or precision is not None or key[1] == SAFE[1] or key in vouched
    ]
    was_judged = any(known[of].loss is not None for of in usable if of in known)
    models: dict[Key, Any] = {}
    if (judged and not was_judged) or any(of not in known for of in tried):
        keys = [usable[of] for of in tried]
        rows, models = measured(network, keys, examples if judged else None, made)
        known |= {(*row.key, row.calibration): row for row in rows}
        remember(path, list(known.values()))
    rows = [_with_loss(known[of], vouched) for of in usable if of in known]
    best = fastest(rows, any_precision=precision is not None)
    model = models.get(best) or made(*best)
    model.found, model.memory = tuple(rows), path
    return model


def vouched_for(network: Network) -> dict[Key, float]:
    """What the card of the weights says that lower precisions change of the IoU.

    Nothing where the model is configured otherwise than the card's; nothing of what is calibrated,
    since that was another calibration.
    """
    how = built.built(network.model)
    if how.weights is None:
        return {}
    stated = {key: how.config[key] for key in how.weights.config}
    if json.dumps(stated, default=list) != json.dumps(dict(how.weights.config), default=list):
        return {}
    told = {tuple(name.split()): abs(change) for name, change in how.weights.precisions.items()}
    return {key: loss for key, loss in told.items() if key in MAKERS and not MAKERS[key].calibrates}


def _with_loss(row: Row, vouched: Mapping[Key, float]) -> Row:
    if row.failure or row.loss is not None:
        return row
    return replace(row, loss=vouched.get(row.key))


def candidates(network: Network, precision: str | None) -> list[Key]:
    """Engines and precisions that can be tried here."""
    if precision is not None:
        precisions = (precision,)
    else:
        precisions = PRECISIONS if not network.restores else PRECISIONS[:1]
    found = []
    for (engine, of), maker in MAKERS.items():
        fits = of in precisions and not (maker.calibrates and not network.crops)
        if fits and (of != "bfloat16" or has_bfloat16() or precision) and _is_installed(engine, of):
            found.append((engine, of))
    return found


def _is_installed(engine: str, precision: str) -> bool:
    try:
        check_installed(engine, precision)
    except ImportError:
        return False
    return True


def _calibration(network: Network, key: Key) -> str:
    return network.crops_sha256 if MAKERS[key].calibrates else ""


def measured(
    network: Network,
    wanted: Sequence[Key],
    examples: Sequence[Any] | None,
    made: Callable[[str, str], Any],
) -> tuple[list[Row], dict[Key, Any]]:
    """A row for each, and the models; from the fastest on judged until one holds by itself."""
    rows, models = {}, {}
    for key in wanted:
        rows[key] = Row(*key, calibration=_calibration(network, key))
        try:
            models[key] = made(*key)
        # An engine that cannot run this network, whatever breaks in it, must not stop the others.
        except Exception as error:
            rows[key] = replace(rows[key], failure=" ".join(str(error).split())[:300])
    tile = network.noise(SIDE)
    expected = np.asarray(network.core.predict_on_batch(tile))
    seconds = in_turns({key: model.answer for key, model in models.items()}, tile)
    for key, model in models.items():
        apart = float(np.abs(model.answer(tile) - expected).max())
        rows[key] = replace(rows[key], seconds=seconds[key], difference=apart)
    if examples is not None:
        _judge(network, rows, models, examples)
    return list(rows.values()), models


def in_turns(runs: dict[Key, Callable], tile: np.ndarray) -> dict[Key, float]:
    """Median seconds of each; they alternate, so that other work slows them alike."""
    spent: dict[Key, list[float]] = {key: [] for key in runs}
    for number in range(ROUNDS + 1):
        for key, run in runs.items():
            began = time.perf_counter()
            run(tile)
            if number:  # the first call prepares for this size
                spent[key].append(time.perf_counter() - began)
    return {key: statistics.median(each) for key, each in spent.items()}


def _judge(network: Network, rows: dict, models: dict, examples: Sequence[Any]) -> None:
    """Fills in the IoU of rows, from the fastest to the first that holds for good."""
    reference = _iou(network.model, examples)
    for key in sorted(models, key=lambda key: rows[key].seconds):
        iou = _iou(models[key], examples)
        rows[key] = replace(rows[key], iou=iou, loss=abs(iou - reference))
        # One that needs crops cannot be made where there are none: one that does not must be known.
        if rows[key].loss <= WITHIN and not MAKERS[key].calibrates:
            return


def _iou(model: Any, examples: Sequence[Any]) -> float:
    return evaluate(model, examples, instances=None, bootstrap=1).iou.value


def fastest(rows: Sequence[Row], *, any_precision: bool = False) -> Key:
    """The fastest of those that hold; TensorFlow in float32 where none does.

    With ``any_precision`` a lower one holds though nobody judged it, since it was named.
    """

    def holds(row: Row) -> bool:
        if row.failure:
            return False
        if row.loss is not None:
            return row.loss <= WITHIN
        if row.precision == SAFE[1]:
            return row.difference <= EXACT
        return any_precision

    held = [row for row in rows if holds(row)]
    return min(held, key=lambda row: row.seconds).key if held else SAFE


def memory(network: Network, threads: int) -> Path:
    """Where what is found of a network on this machine is kept."""
    told = [FORMAT, network.sha256, versions(), processor(), threads]
    name = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]
    return kept_in("engines") / f"{name}.json"


def recalled(path: Path) -> list[Row]:
    """The rows of a file; none of one that is missing or not to be read."""
    try:
        return [Row(**row) for row in read_json(path)["rows"]]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def remember(path: Path, rows: Sequence[Row]) -> None:
    """Writes the rows; where nothing can be written, they are measured again next time."""
    told = {"versions": versions(), "rows": [asdict(row) for row in rows]}
    with suppress(OSError):
        write_json(path, told, indent=2)
