"""How far a run is, in ``state/progress.json``: what a stopped run goes on from."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from temzoo.core.files import read_fields
from temzoo.zoo import pretrained

PROGRESS = Path("state") / "progress.json"
STATE = re.compile(rf"epoch-\d+(-step-\d+)?{re.escape(pretrained.SUFFIX)}")
NUMBER = (int, float)
PROGRESS_FIELDS = {
    **{"epoch": int, "best": NUMBER, "best_epoch": int, "minutes": NUMBER, "phase": int},
    **{"phase_start": int, "state": str, "history": list},
}
NEWER = {"step": int}  # not in the files of earlier versions


@dataclass
class Progress:
    """How far a run is: all that is needed to go on, beside the weights in ``state``.

    Attributes:
        phase: that is being trained, from 0; phase_start: epochs done before it.
        state: file of weights and optimizer after ``epoch`` and ``step``; empty at a phase's start.
        step: of the epoch after ``epoch``, those that are in the state.
    """

    epoch: int = 0
    best: float = -math.inf
    best_epoch: int = 0
    minutes: float = 0.0
    phase: int = 0
    phase_start: int = 0
    state: str = ""
    history: list[dict[str, float]] = field(default_factory=list)
    step: int = 0


def read_progress(folder: Path) -> Progress:
    """How far a run is, from its folder.

    Raises:
        ValueError: the file is damaged, or what it names is not there; the field is named.
    """
    path = folder / PROGRESS
    told = {"step": 0, **read_fields(path, PROGRESS_FIELDS, optional=NEWER)}
    state, history = told["state"], told["history"]
    rows = [row for row in history if isinstance(row, dict) and row.get("epoch")]
    checks = {
        "state": not state or STATE.fullmatch(state),
        "epoch": told["epoch"] == len(rows) == len(history) >= told["best_epoch"] >= 0,
        "phase": 0 <= told["phase"] <= 2 and 0 <= told["phase_start"] <= told["epoch"],
        "step": told["step"] >= 0 and (told["step"] > 0) == ("-step-" in state),
        "history": all(isinstance(v, int | float) for row in rows for v in row.values()),
    }
    wrong = next((name for name, fits in checks.items() if not fits), None)
    if wrong or told.keys() != PROGRESS_FIELDS.keys() | NEWER.keys():
        raise ValueError(
            f"{path}: {wrong or 'its fields'} must be as training left it. Received:"
            f" {str(told.get(wrong, list(told)))[:60]}. It is damaged: copy it again, or start the"
            " run anew."
        )
    return Progress(**told)
