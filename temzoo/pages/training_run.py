"""A run folder, as ``temzoo.train`` writes it, for the page."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2

from temzoo.core.bootstrap import held_text
from temzoo.core.types import Example
from temzoo.data.examples import load_dataset
from temzoo.evaluation.evaluate import score_predictions
from temzoo.evaluation.object_overlaps import true_objects
from temzoo.evaluation.results import Evaluation
from temzoo.inference.concurrent import progress_bar
from temzoo.inference.predict import predict
from temzoo.micrographs.drawn import Drawn
from temzoo.pages.charts import history_chart, whisker
from temzoo.pages.gallery import Gallery
from temzoo.pages.html import data_uri, recorded_command, text, without_folders
from temzoo.pages.numbers import counted, figure, interval, metric_name
from temzoo.pages.page import KeyFigure, Section, sheet
from temzoo.pages.plates import jpeg
from temzoo.pages.tables import (
    Html,
    config_text,
    fact_list,
    figure_table,
    joined,
    model_facts,
    name_cell,
)
from temzoo.pictures.plots import read_history
from temzoo.zoo import building, pretrained

RUN, HISTORY, FIGURES, PICTURE = "run.json", "history.csv", "figures.json", "validation.png"
NOT_METRICS = ("epoch", "minutes")
HEADLINES = ("iou", "instance_f1")
SHEET_BYTES = 4_000_000


@dataclass(frozen=True, eq=False)
class RunFolder:
    """What a run folder says.

    Attributes:
        folder: its path.
        run: ``run.json``.
        history: columns of ``history.csv`` by name, NaN where nothing was measured.
        card: of the best weights; None where there are none yet.
        figures: of an evaluation: "per_image", "pooled", "table", "classes", "images"; None where
            there was none.
    """

    folder: Path
    run: Mapping[str, Any]
    history: Mapping[str, Sequence[float]]
    card: pretrained.WeightsCard | None
    figures: Mapping[str, Any] | None

    @property
    def best_epoch(self) -> int:
        return int(self.card.scores.get("epoch", 0)) if self.card else 0

    @property
    def score(self) -> tuple[str, float] | None:
        """The measure that the best epoch was chosen by, and its value there."""
        scores = self.card.scores if self.card else {}
        return next(((k, v) for k, v in scores.items() if k != "epoch"), None)

    @property
    def minutes(self) -> float | None:
        column = self.history.get("minutes", ())
        return float(column[-1]) if len(column) else None


def is_run(path: Path) -> bool:
    return (path / RUN).is_file()


def read_run(folder: Path) -> RunFolder:
    """Reads what there is of a run.

    Raises:
        ValueError: ``run.json`` or a file of figures is damaged; the message names it.
    """
    run = _read_json(folder / RUN)
    missing = [key for key in ("model", "config", "data", "settings") if key not in run]
    if missing:
        raise ValueError(
            f"{folder / RUN} must be what temzoo.train writes. Received: one without"
            f" {', '.join(missing)}. Give the folder of a run."
        )
    best = folder / pretrained.BEST
    found = [*folder.glob(FIGURES), *folder.glob(f"*/{FIGURES}")]
    figures = [_figures(path) for path in sorted(found, key=lambda p: p.stat().st_mtime)]
    return RunFolder(
        folder=folder,
        run=run,
        history=read_history(folder / HISTORY) if (folder / HISTORY).is_file() else {},
        card=pretrained.read_card(best) if best.is_file() else None,
        figures=next((told for told in reversed(figures) if told), None),
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}. Write it again.") from error
    if not isinstance(told, dict):
        raise ValueError(
            f"{path} must hold names and values. Received: {type(told).__name__}. Write it again."
        )
    return told


def _figures(path: Path) -> dict[str, Any] | None:
    """Figures of ``temzoo evaluate --out``; None where the file is of something else."""
    told = _read_json(path)
    parts = ("per_image", "pooled", "table")
    return told if all(told.get(part) for part in parts) else None


def validated(run: RunFolder, images: Path, labels: Path, **reading: Any) -> list[Example]:
    """The micrographs that a run was validated on, with their labels.

    Args:
        **reading: "values", "rename" and "merge" of ``load_dataset``, where they are not the run's.

    Raises:
        ValueError: none of them is there.
    """
    names = set(run.run["data"]["val"]["names"])
    examples = load_dataset(images=images, labels=labels, like=run.run, **reading)
    found = [one for one in examples if one.name in names]
    if not found:
        raise ValueError(
            f"images and labels must be those that {run.folder} was validated on. Received:"
            f" {images} and {labels} without {min(names, default='any')} and the rest. Give the"
            " folder and the file that it was trained with."
        )
    return found


def evaluated(
    run: RunFolder, examples: Sequence[Example], gallery: Gallery, *, progress: bool = False
) -> Evaluation:
    """Predicts, scores and shows what a run was validated on."""
    model = building.get_model(run.run["model"], weights=run.folder, compile=False)
    names = tuple(run.run["class_names"])

    def seen() -> Iterator:
        with progress_bar(len(examples), progress, of="micrograph") as advance:
            for example in examples:
                # By the bar in the picture too; nothing is left out, as the labels are of all.
                micrograph, _ = Drawn(crop_bar=False).of(example.micrograph)
                prediction = predict(model, micrograph)
                true = true_objects(example.labels, names)
                gallery.add(prediction, micrograph, true=true)
                advance(1)
                yield prediction

    # Objects below a score of 0.5 were not asked for, without which AP would be too low.
    return score_predictions(examples, seen(), classes=names, ap=False)


def with_figures(run: RunFolder, evaluation: Evaluation) -> RunFolder:
    """The run with figures that were taken just now, in the form of ``Evaluation.to_json``."""
    figures = {
        "images": len(evaluation.table),
        "classes": list(evaluation.classes),
        "per_image": {key: vars(value) for key, value in evaluation.per_image.items()},
        "pooled": {key: vars(value) for key, value in evaluation.pooled.items()},
        "table": [dict(row) for row in evaluation.table],
    }
    return replace(run, figures=figures)


def run_figures(run: RunFolder) -> list[KeyFigure]:
    """The first figures of the page: what was scored, reached, learnt from and spent."""
    told = (run.figures or {}).get("per_image", {})
    figures = []
    for key in HEADLINES:
        if key in told and math.isfinite(_numbers(told[key])[0]):
            value, low, high = _numbers(told[key])
            known = interval(low, high)
            aside = f"95 % interval {known}" if known else ""
            figures.append(KeyFigure(f"{metric_name(key)}, per image", figure(value), "", aside))
    if run.score:
        name, value = run.score
        aside = f"in validation, epoch {run.best_epoch} of {len(run.history.get('epoch', ()))}"
        figures.append(KeyFigure(f"Best {metric_name(name)}", figure(value), "", aside))
    part = run.run["data"]["train"]
    if part["shapes"]:
        aside = f"in {counted(part['images'], 'micrograph')}"
        figures.append(KeyFigure("Labelled shapes", figure(part["shapes"]), "", aside))
    if run.minutes:
        figures.append(KeyFigure("Training", figure(run.minutes), "min", "on the machine below"))
    return figures


def score_sections(run: RunFolder, plates: Mapping[str, int]) -> list[Section]:
    """Scores, history and the sheet of validation images, as far as they are there."""
    sections = [
        _scores_section(run.figures) if run.figures else None,
        _images_section(run.figures, plates) if run.figures else None,
        _history_section(run) if "epoch" in run.history else None,
        _sheet_section(run.folder / PICTURE),
    ]
    return [section for section in sections if section is not None]


def origin_sections(run: RunFolder) -> list[Section]:
    """The model, and how it was made."""
    return [_model_section(run), _made_section(run)]


def _scores_section(figures: Mapping[str, Any]) -> Section:
    rows = []
    for key in dict.fromkeys([*figures["per_image"], *figures["pooled"]]):
        mean, pooled = (figures[part].get(key) for part in ("per_image", "pooled"))
        drawn = "" if _beyond_one(mean or pooled) else whisker(*_numbers(mean or pooled))
        rows.append((metric_name(key), *_cells(mean), Html(drawn), *_cells(pooled)))
    images = figures.get("images", len(figures["table"]))
    head = ("Metric", "Per image", "95 % interval", "", "Pooled", "95 % interval")
    body = figure_table(head, rows, caption="Scores on the validation micrographs")
    return Section(
        "Scores",
        body,
        note=f"On {counted(images, 'validation micrograph')} at full"
        " resolution. Per image: mean over micrographs; pooled: all pixels, or objects, together."
        f" Intervals: {held_text(images, 'micrographs')}. Objects match at IoU 0.5.",
    )


def _numbers(told: Mapping[str, Any] | None) -> tuple[float, float, float]:
    told = told or {}
    return tuple(
        math.nan if told.get(part) is None else float(told[part])
        for part in ("value", "low", "high")
    )


def _beyond_one(told: Mapping[str, Any] | None) -> bool:
    return any(math.isfinite(v) and not 0 <= v <= 1 for v in _numbers(told))


def _cells(told: Mapping[str, Any] | None) -> tuple:
    if told is None:
        return ("", "")
    value, low, high = _numbers(told)
    return ((figure(value), value), interval(low, high))


def _images_section(figures: Mapping[str, Any], plates: Mapping[str, int]) -> Section:
    table = figures["table"]
    keys = [k for k in ("iou", "dice", "precision", "recall", "instance_f1") if k in table[0]]
    counts = [k for k in ("instances_true", "instances_predicted") if k in table[0]]
    names = {"instances_true": "Labelled", "instances_predicted": "Found"}
    known = [{k: math.nan if v is None else v for k, v in row.items()} for row in table]
    # Scores that are not defined come last.
    known.sort(key=lambda row: (math.isnan(row["iou"]), row["iou"]))
    rows = [
        (name_cell(row["name"], plates), *((figure(row[k]), row[k]) for k in (*keys, *counts)))
        for row in known
    ]
    head = ("Micrograph", *(metric_name(k) for k in keys), *(names[k] for k in counts))
    body = figure_table(head, rows, caption="Scores of each validation micrograph")
    return Section("Each micrograph", body, note="The lowest IoU first: where the model errs most.")


def _history_section(run: RunFolder) -> Section:
    epochs = run.history["epoch"]
    metrics = dict.fromkeys(
        name.removeprefix("val_") for name in run.history if name not in NOT_METRICS
    )
    chosen = run.score[0].removeprefix("val_") if run.score else ""
    charts = []
    for name in sorted(metrics, key=lambda name: (name != chosen, name == "loss")):
        train, val = (run.history.get(prefix + name, ()) for prefix in ("", "val_"))
        if any(math.isfinite(v) for v in (*train, *val)):
            charts.append(history_chart(name, epochs, train, val, run.best_epoch))
    figures = "".join(f"<figure>{chart}</figure>" for chart in charts)
    return Section("Training", f'<div class="pair">{figures}</div>')


def _sheet_section(path: Path) -> Section | None:
    """The picture of what the model makes of validation images, which training drew."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
    if picture is None:
        return None
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
    if not done or len(data) > SHEET_BYTES:
        data = jpeg(picture[..., ::-1], most_bytes=SHEET_BYTES)
    uri = data_uri(bytes(data), "image/jpeg")
    name = "What the model makes of validation micrographs"
    body = f"<figure>{sheet(uri, name, picture.shape[1])}</figure>"
    return Section("Validation sheet", body, note=f"{name}, drawn at the end of training.")


def _model_section(run: RunFolder) -> Section:
    sha = run.card.sha256 if run.card else ""
    weights = f"{run.folder.resolve().name}/{pretrained.BEST}" if run.card else ""
    # What made it stands in the next section.
    card = replace(run.card, dataset="", command="", date="") if run.card else None
    body = model_facts(run.run["model"], card, weights=weights, sha256=sha)
    return Section("Model", body)


def _made_section(run: RunFolder) -> Section:
    told, data = run.run, run.run["data"]
    parts = {
        name: counted(part["images"], "micrograph")
        + (f", {counted(part['shapes'], 'labelled shape')}" if part["shapes"] else "")
        + f", fingerprint {part['fingerprint']}"
        for name, part in data.items()
    }
    hardware = told.get("hardware", {})
    facts = {
        "Command": Html(
            f"<pre><code>{text(recorded_command(told.get('command', '')))}</code></pre>"
        ),
        "Started": told.get("date", ""),
        "Took": f"{figure(run.minutes)} minutes" if run.minutes else "",
        "Trained on": parts.get("train", ""),
        "Validated on": parts.get("val", ""),
        "Settings": config_text(
            without_folders({k: v for k, v in told["settings"].items() if v is not None})
        ),
        "Versions": joined([f"{k} {v}" for k, v in told.get("versions", {}).items()]),
        "Commit": told.get("commit") or "",
        "Hardware": joined(
            [hardware[k] for k in ("processor", "system") if hardware.get(k)]
            + ([f"{hardware['cores']} cores"] if hardware.get("cores") else [])
        ),
    }
    return Section("How it was made", fact_list(facts))
