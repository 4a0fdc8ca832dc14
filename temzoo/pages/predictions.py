"""A folder of predictions, as ``temzoo predict`` writes it, for the page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temzoo.inference.concurrent import progress_bar
from temzoo.measurement.model_error import ModelError, worst
from temzoo.micrographs.drawn import Drawn
from temzoo.pages.gallery import Gallery
from temzoo.pages.html import folder_name, last_part, without_folders
from temzoo.pages.numbers import counted
from temzoo.pages.page import Section
from temzoo.pages.tables import config_text, fact_list, joined, model_facts
from temzoo.store import particle_tables, sidecar, sources
from temzoo.store.corrections import counts_text, recorded_counts
from temzoo.store.predictions import list_predictions, load_prediction
from temzoo.store.sidecar import SUFFIX
from temzoo.zoo.pretrained import find_card


@dataclass(frozen=True, eq=False)
class Sidecar:
    """A saved prediction: its file, and what that says, but for the objects.

    Attributes:
        doubtful: how many of them its model is not sure of.
    """

    path: Path
    told: Mapping[str, Any]
    doubtful: int

    @classmethod
    def of(cls, path: Path) -> Sidecar:
        told = sidecar.about(path)
        objects = {name: told.pop(name) for name in ("scores", "detections", "doubtful")}
        return cls(path, told, len(objects["doubtful"] or ()))


def read_sidecars(source: Path) -> list[Sidecar]:
    """The predictions of a folder, or the one of a file.

    Raises:
        ValueError: there are none; a sidecar is damaged.
    """
    paths = [source] if source.is_file() else list_predictions(source)
    if not paths:
        raise ValueError(
            "a report needs a run folder, or a folder of predictions. Received:"
            f" {source}, which holds neither run.json nor *{SUFFIX}. Make them with"
            " `temzoo predict WEIGHTS IMAGES --out FOLDER`."
        )
    return [Sidecar.of(path) for path in paths]


def gather(
    sidecars: Sequence[Sidecar],
    gallery: Gallery,
    *,
    images: Path | None = None,
    progress: bool = False,
) -> None:
    """Reads, measures and draws saved predictions, one after the other.

    One that is not drawn, and was measured by a job on a cluster, is not measured again. Where no
    size of a pixel is stated, that of the bar in the picture is taken, if text can be read here.
    """
    moved = None if images is None else sources.sources_in(images)
    bars = Drawn(crop_bar=False)  # particles keep the numbers by which they are corrected
    with progress_bar(len(sidecars), progress, of="micrograph") as advance:
        for one in sidecars:
            known = None
            if gallery.by_hand.scale is None and len(gallery.plates) == gallery.pictured:
                known = particle_tables.read(one.path)
            if known is not None and (known.unit == "nm" or not bars.reads_text):
                gallery.add_measured(one.told, known)
                advance(1)
                continue
            prediction = load_prediction(one.path)
            micrograph, why = sources.load_source(one.told, moved)
            if micrograph is not None and prediction.nm_per_pixel is None:
                micrograph, _ = bars.of(micrograph)
            gallery.add(prediction, micrograph, missing=f"{why} Outlines alone." if why else "")
            advance(1)


def prediction_sections(sidecars: Sequence[Sidecar]) -> list[Section]:
    """The model, and how the predictions were made."""
    made = _distinct(sidecars, ("model", "weights", "weights_sha256"))
    models = [
        model_facts(model, find_card(model, weights, sha), weights=last_part(weights), sha256=sha)
        for model, weights, sha in made
        if model or weights
    ]
    note = "" if len(models) < 2 else f"{counted(len(models), 'model')} made these predictions."
    sections = [Section("Model", "".join(models), note=note)] if models else []
    return [*sections, Section("How it was made", fact_list(_made(sidecars)))]


def model_error(sidecars: Sequence[Sidecar]) -> ModelError | None:
    """The error of what made the predictions; None where that of any is not known."""
    return worst(ModelError.of_card(sidecar.card_errors(one.told)) for one in sidecars)


def model_names(sidecars: Sequence[Sidecar]) -> str:
    """The models that made the predictions, for a sentence; empty where none is known."""
    found = _distinct(sidecars, ("model", "weights"))
    return joined_names([_model_name(model, weights) for model, weights in found if model])


def _model_name(model: str, weights: str) -> str:
    """As one types it where the weights are shipped, else the model and the run's last folder."""
    if weights.startswith(f"{model}/"):
        return weights
    return f"{model} (weights {last_part(weights)})" if weights else model


def joined_names(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _made(sidecars: Sequence[Sidecar]) -> dict[str, Any]:
    dates = sorted(_time(str(one.told["date"])) for one in sidecars if one.told.get("date"))
    options = [_chosen(o) for (o,) in _distinct(sidecars, ("options",)) if o]
    versions = [version for (version,) in _distinct(sidecars, ("temzoo",)) if version]
    seconds = [one.told["seconds"] for one in sidecars if one.told.get("seconds")]
    folders = sorted({folder_name(s) for one in sidecars if (s := one.told.get("source"))} - {""})
    smoothed = sum(one.told["smoothed_px"] > 0 for one in sidecars)
    binned = sum(one.told["binning"] > 1 for one in sidecars)
    between = f"{dates[0]} to {dates[-1]}" if dates and dates[0] != dates[-1] else joined(dates[:1])
    return {
        "Predicted": between if dates else "",
        "Options": "; ".join(options),
        "Micrographs from": joined(folders) if folders else "",
        "Data fingerprint": fingerprint(sidecars),
        "Smoothed first": f"{smoothed} of {len(sidecars)}" if smoothed else "",
        "Binned first": f"{binned} of {len(sidecars)}" if binned else "",
        "Computing took": f"{sum(seconds):.1f} s" if seconds else "",
        "temzoo": joined(versions) if versions else "",
        "Corrected by hand": counts_text(
            recorded_counts(each for one in sidecars for each in one.told["corrections"])
        ),
    }


def _time(iso: str) -> str:
    return iso.replace("T", " ").replace("+00:00", " UTC")


def _chosen(options: Mapping[str, Any]) -> str:
    """The options that say something: not those that are off or left open."""
    told = without_folders(options).items()
    return config_text({k: v for k, v in told if not (v is None or v is False or v == {})})


def fingerprint(sidecars: Sequence[Sidecar]) -> str:
    """A hash of the names and contents of the micrographs, as the sidecars state them."""
    digest = hashlib.sha256()
    for one in sidecars:
        of = [one.told[key] for key in ("name", "height", "width", "source_sha256")]
        digest.update(json.dumps(of).encode("ascii"))
    return digest.hexdigest()[:16]


def _distinct(sidecars: Sequence[Sidecar], keys: Sequence[str]) -> list[tuple]:
    """The different values of some keys, in the order they come in."""
    found: list[tuple] = []
    for one in sidecars:
        values = tuple(one.told.get(key) or "" for key in keys)
        if values not in found:
            found.append(values)
    return found
