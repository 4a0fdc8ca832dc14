"""A run folder, or predictions → one HTML file."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from temzoo import __version__
from temzoo.core.files import in_place, write_text
from temzoo.measurement.by_hand import ByHand
from temzoo.measurement.kinds import ordered_kinds
from temzoo.micrographs import checked_scale
from temzoo.pages import predictions
from temzoo.pages import training_run as runs
from temzoo.pages.correcting import tools_html
from temzoo.pages.gallery import Gallery
from temzoo.pages.html import command_text
from temzoo.pages.numbers import counted, figure
from temzoo.pages.page import Section, page
from temzoo.pages.sizes import key_figures, measured, size_sections
from temzoo.pages.tables import MOST_ROWS, particle_block
from temzoo.pages.viewer import viewer_html

LIMIT = 50
NAME = "report.html"


def write_report(
    source: str | Path,
    *,
    out: str | Path | None = None,
    images: str | Path | None = None,
    labels: str | Path | None = None,
    values: str = "auto",
    rename: Mapping[str, str] | None = None,
    merge: Mapping[str, Sequence[str]] | None = None,
    nm_per_pixel: float | tuple[float, float] | None = None,
    override_calibration: bool = False,
    title: str | None = None,
    limit: int = LIMIT,
    progress: bool = False,
) -> Path:
    """Writes one self-contained HTML file of predictions, or of a training run.

    Of predictions it shows the micrographs with outlines, the sizes with their distribution, the
    table of particles, the model and how all was made. Of a run it shows scores, history and model,
    and with ``images`` and ``labels`` the same of its validation micrographs, which are then
    predicted and scored.

    Args:
        source: a folder that ``temzoo predict`` wrote, one ``.prediction.json``, or a run folder.
        out: the file; None: ``report.html`` in the folder.
        images: folder of the micrographs: of predictions, where they are not where they were; of a
            run, those that it was validated on.
        labels: of a run, the labels of ``images``.
        values, rename, merge: of ``labels``, as ``load_dataset`` takes them; by default as the run
            was trained.
        nm_per_pixel: one number or (row, col), for micrographs that state none.
        override_calibration: take it for all, in place of what they state.
        title: None: made of what is shown.
        limit: micrographs that are pictured, the first; all are measured.
        progress: show a progress bar.

    Returns:
        The file.

    Raises:
        FileNotFoundError: ``source`` is not there.
        ValueError: it holds neither a run nor predictions; a file in it is damaged; labels without
            images, or either that does not fit; a limit below 1.

    Example:
        >>> write_report("predictions", nm_per_pixel=0.42)
        PosixPath('predictions/report.html')
    """
    source = Path(source)
    _check(source, images, labels, limit)
    scale = None if nm_per_pixel is None else checked_scale(nm_per_pixel)
    by_hand = ByHand(scale, override_calibration)
    folder = source if source.is_dir() else source.parent
    target = folder / NAME if out is None else Path(out)
    options = {"images": _path(images), "limit": limit, "progress": progress, "by_hand": by_hand}
    with in_place(target.parent):
        if runs.is_run(source):
            reading = {"values": values, "rename": rename, "merge": merge}
            content = _run_content(source, labels=_path(labels), reading=reading, **options)
        else:
            content = _prediction_content(source, **options)
        content["title"] = title or content["title"]
        write_text(target, page(**content, made=_made_by()))
    return target


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)


def _check(source: Path, images: Any, labels: Any, limit: int) -> None:
    if not source.exists():
        raise FileNotFoundError(
            "a report is of a run folder, or of predictions. Received:"
            f" {source}, which is not there. Give the folder that `temzoo train` or"
            " `temzoo predict` wrote."
        )
    if limit < 1:
        raise ValueError(f"limit must be at least 1. Received: limit={limit}. Use {LIMIT}.")
    is_run = runs.is_run(source)
    if labels is not None and not is_run:
        raise ValueError(
            "labels are for the report of a run. Received: labels="
            f"{str(labels)!r} for {source}, which is none. Leave them out, or give a run folder."
        )
    if is_run and (images is None) != (labels is None):
        raise ValueError(
            "the validation micrographs of a run are shown with their labels. Received: images="
            f"{str(images)!r}, labels={str(labels)!r}. Give both, or neither."
        )


def _prediction_content(source: Path, *, images, limit, progress, by_hand) -> dict[str, Any]:
    sidecars = predictions.read_sidecars(source)
    gallery = Gallery(min(limit, len(sidecars)), by_hand=by_hand, on_disk=True)
    predictions.gather(sidecars, gallery, images=images, progress=progress)
    found = measured(gallery, predictions.model_error(sidecars))
    by = predictions.model_names(sidecars)
    micrographs = counted(len(sidecars), "micrograph")
    particles = f"{counted(gallery.particles, 'particle')} in {micrographs}"
    doubtful = sum(one.doubtful for one in sidecars)
    unsure = f" {counted(doubtful, 'doubtful object')} not counted." if doubtful else ""
    what = sidecars[0].told["name"] if len(sidecars) == 1 else micrographs
    return {
        "title": f"Particles in {what}",
        "kind": f"temzoo report · predictions · {_today()}",
        "lede": (f"{particles}, found by {by}." if by else f"{particles}.") + unsure,
        "figures": key_figures(found),
        "notices": _notices(gallery),
        "sections": [
            _viewer_section(gallery, source.resolve().name),
            *size_sections(found, gallery.plate_numbers),
            *predictions.prediction_sections(sidecars),
        ],
        "data": _data(gallery, source),
    }


def _run_content(
    source: Path, *, images, labels, reading, limit, progress, by_hand
) -> dict[str, Any]:
    run = runs.read_run(source)
    gallery = Gallery(0)
    if images is not None:
        examples = runs.validated(run, images, labels, **reading)
        gallery = Gallery(min(limit, len(examples)), by_hand=by_hand)
        found = runs.evaluated(run, examples, gallery, progress=progress)
        run = runs.with_figures(run, found)
    seen = bool(gallery.names)
    data = run.run["data"]
    return {
        "title": f"Training of {run.run['model']}",
        "kind": f"temzoo report · training run · {_today()}",
        "lede": f"Trained on {counted(data['train']['images'], 'micrograph')}, validated on"
        f" {data['val']['images']}.{_classes(run.run.get('class_names'))}",
        "figures": runs.run_figures(run),
        "notices": _notices(gallery) if seen else (),
        "sections": [
            *([_viewer_section(gallery, source.name)] if seen else []),
            *runs.score_sections(run, gallery.plate_numbers),
            *(size_sections(measured(gallery), gallery.plate_numbers) if seen else []),
            *runs.origin_sections(run),
        ],
        "data": _data(gallery, source) if seen else "",
    }


def _classes(names: Sequence[str] | None) -> str:
    if not names:
        return ""
    return f" {'Class' if len(names) == 1 else 'Classes'}: {', '.join(map(str, names))}."


def _viewer_section(gallery: Gallery, folder: str) -> Section:
    shown, everything = len(gallery.plates), len(gallery.names)
    note = ""
    if shown < everything:
        note = (
            f"The first {shown} of {everything} micrographs are pictured; all of them are measured."
        )
    body = viewer_html(
        gallery.plates,
        gallery.names[:shown],
        class_names=gallery.class_names,
        kinds=ordered_kinds(gallery.kinds),
        truth=gallery.truth,
        doubtful=gallery.doubtful,
        table=gallery.particles > 0,
        pictured=everything,
        corrections=_tools(gallery, folder) if gallery.on_disk else "",
    )
    return Section("Micrographs", body, note=note)


def _tools(gallery: Gallery, folder: str) -> str:
    of_all = gallery.particles <= MOST_ROWS
    return tools_html(gallery.class_names, folder, of_all=of_all, doubtful=gallery.doubtful)


def _data(gallery: Gallery, source: Path) -> str:
    import pandas as pd

    if not gallery.particles:
        return ""
    # Columns in the other unit are empty.
    table = pd.concat(gallery.rows, ignore_index=True)
    file = f"{source.resolve().name.split('.')[0] or 'particles'}_particles.csv"
    shown = table.head(MOST_ROWS)
    return particle_block(shown, gallery.plate_numbers, file=file, predictions=gallery.predictions)


def _notices(gallery: Gallery) -> list[str]:
    given = gallery.by_hand.notice(gallery.own)
    notices = [given] if given else []
    pixels, nanometres = (len(gallery.frames[unit]) for unit in ("px", "nm"))
    if pixels:
        notices.append(
            f"Sizes of {counted(pixels, 'micrograph')} are in pixels, for no size of a pixel is"
            f" known there.{' They are summarised apart.' if nanometres else ''} `temzoo report …"
            " --nm-per-pixel 0.5`, or what a pixel has, gives nanometres."
        )
    count = gallery.particles
    if count > MOST_ROWS:
        notices.append(
            f"The table holds the first {figure(MOST_ROWS)} of {counted(count, 'particle')}; all"
            " of them count in the figures. `temzoo measure` writes the whole table."
        )
    return notices


def _today() -> str:
    today = datetime.date.today()
    return f"{today.day} {today:%B %Y}"


def _made_by() -> str:
    command = command_text(sys.argv)
    shown = f": {command}" if command.split(" ")[0] == "temzoo" else ""
    now = datetime.datetime.now().astimezone()
    return f"Written by temzoo {__version__} on {now:%Y-%m-%d %H:%M %Z}{shown}"
