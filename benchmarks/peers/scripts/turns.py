"""An engine's process: it prepares networks, and runs one once whenever a line asks for it.

Asked ``{"do": "prepare", "engine": …, "batch": …}`` it answers ``{}`` or ``{"left_out": why}``;
``{"do": "run", …}`` gives ``{"seconds": …}``, and with ``"save": PATH`` the output is written.
One line, one answer, on standard input and what was standard output; other words go to errors.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Run = Callable[[], np.ndarray]


def answer(makers: Mapping[str, Callable[[np.ndarray], Run]], inputs: np.ndarray) -> None:
    """Serves until its input ends.

    Args:
        makers: by engine; each takes (B, H, W, 1) normalised pixels and gives what runs on them
            and returns (B, H, W, classes) probabilities.
        inputs: the largest batch; smaller ones are its first images.
    """
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not stand among the answers
    runs: dict[tuple[str, int], Run] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        said.write(json.dumps(_done(asked, makers, inputs, runs)) + "\n")
        said.flush()


def _done(asked: Mapping[str, Any], makers, inputs, runs) -> dict[str, Any]:
    key = (asked["engine"], asked["batch"])
    if asked["do"] == "prepare":
        try:
            runs[key] = makers[key[0]](inputs[: key[1]])
            runs[key]()
        except Exception as error:  # an engine that cannot is a row of the table
            return {"left_out": f"{type(error).__name__}: {error}"[-600:]}
        return {}
    began = time.perf_counter()
    found = runs[key]()
    seconds = time.perf_counter() - began
    if "save" in asked:
        np.save(asked["save"], found.astype(np.float32))
    return {"seconds": seconds}
