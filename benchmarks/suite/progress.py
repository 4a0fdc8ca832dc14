"""Which steps of ``all`` are done, so that ``all --resume`` goes on where a run was stopped.

The list lies beside the results that it is of. It counts only with the processor, cores,
versions and data that it was made with: one run's figures are of one machine.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.records import versions, write_json


class Progress:
    """The finished steps of a run, on disk after each.

    Args:
        folder: of the results.
        data: folder of the named datasets.
        quick: whether the run is the quick one, which has a list of its own.

    Attributes:
        elsewhere: whether there is a list, of another machine, other versions or data.
    """

    def __init__(self, folder: Path, data: Path, *, quick: bool):
        from temzoo.training.run_folder import hardware

        self._path = folder / f".all-{'quick' if quick else 'full'}.json"
        machine = hardware()
        self._where = {key: machine[key] for key in ("processor", "cores")} | {
            "versions": versions(),
            "data": str(data.resolve()),
        }
        kept = {"where": self._where, "finished": []}
        if self._path.is_file():
            kept = json.loads(self._path.read_text(encoding="utf-8"))
        self.elsewhere = kept["where"] != self._where
        self._finished: list[str] = [] if self.elsewhere else kept["finished"]

    def has(self, words: Sequence[str]) -> bool:
        """Whether a step ran to its end."""
        return " ".join(words) in self._finished

    def add(self, words: Sequence[str]) -> None:
        """Keeps a step as done."""
        if not self.has(words):
            self._finished.append(" ".join(words))
        self._write()

    def drop(self, command: str) -> None:
        """The steps of a subcommand are to be done again."""
        self._finished = [step for step in self._finished if step.split()[0] != command]
        self._write()

    def forget(self) -> None:
        """What comes is a run of its own."""
        self._finished = []
        self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._path, {"where": self._where, "finished": self._finished})
