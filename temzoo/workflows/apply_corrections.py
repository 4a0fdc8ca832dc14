"""A folder of predictions and the corrections of its report become a folder of corrected ones."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from temzoo import __version__
from temzoo.core.files import new_folder
from temzoo.core.types import Micrograph
from temzoo.store import sidecar, sources
from temzoo.store.corrections import CorrectionFile, counts_text, read_corrections
from temzoo.store.predictions import list_predictions, load_prediction
from temzoo.store.with_overlay import save_prediction

GREY = 90  # of an overlay's ground, where there is no micrograph


@dataclass(frozen=True)
class Applied:
    """What was corrected.

    Attributes:
        predictions: that were written, corrected or not.
        counts: of each corrected image, by its name, see ``Corrections.counts``.
        without_micrograph: why an overlay has no micrograph, by the image's name.
    """

    predictions: int
    counts: Mapping[str, Counter[str]]
    without_micrograph: Mapping[str, str]

    @property
    def text(self) -> str:
        """How much was corrected in all; "" for nothing."""
        return counts_text(sum(self.counts.values(), Counter()))


def apply_corrections(
    predictions: str | Path,
    corrections: str | Path,
    out: str | Path,
    *,
    images: str | Path | None = None,
) -> Applied:
    """Writes predictions as corrected by hand: a new folder, whole or not at all.

    Those that are not corrected are copied. A corrected sidecar names the file of corrections, its
    SHA-256 and how much it corrected; all else that it says of how it was made stays.

    Args:
        predictions: a folder that ``temzoo predict`` wrote.
        corrections: the file that its report saved.
        out: the folder to write, which is not there yet, or empty.
        images: where the micrographs lie now, for the overlays.

    Raises:
        FileNotFoundError: there are no predictions, or no corrections.
        FileExistsError: ``out`` holds something.
        ValueError: the corrections are damaged, or of other predictions.
    """
    given = read_corrections(corrections)
    paths = list_predictions(predictions)
    if not paths:
        raise FileNotFoundError(
            f"There are no predictions in {predictions}. Name the folder that the report was made"
            " of."
        )
    told = {path: sidecar.about(path) for path in paths}
    given.require_among([one["name"] for one in told.values()])
    moved = None if images is None else sources.sources_in(images)
    counts, missing = {}, {}
    with new_folder(out) as folder:
        for path, about in told.items():
            name = about["name"]
            if name not in given.images:
                _copy(path, folder)
                continue
            micrograph, why = sources.load_source(about, moved)
            _correct(path, about, given, micrograph, folder)
            counts[name] = given.images[name].counts()
            if why:
                missing[name] = why
    return Applied(len(paths), counts, missing)


def _copy(path: Path, folder: Path) -> None:
    """The files of a prediction, the sidecar last."""
    maps = (sidecar.beside(path, what) for what in (*sidecar.MAPS, "overlay"))
    for each in (*filter(Path.is_file, maps), path):
        shutil.copy2(each, folder / each.name)


def _correct(
    path: Path,
    about: Mapping[str, Any],
    given: CorrectionFile,
    micrograph: Micrograph | None,
    folder: Path,
) -> None:
    probabilities = "probabilities" in about["files"]
    prediction = load_prediction(path, probabilities=probabilities)
    if micrograph is not None:
        micrograph = replace(micrograph, calibration=about["calibration"])
    ground = Micrograph(np.full(prediction.classes.shape, GREY, np.uint8))
    record = {
        "file": given.path.name,
        "sha256": given.sha256,
        **given.images[prediction.name].counts(),
        "temzoo": __version__,
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    save_prediction(
        given.of(prediction),
        folder,
        micrograph=micrograph or ground,
        probabilities=probabilities,
        origin={**about, "corrections": [*about["corrections"], record]},
    )
