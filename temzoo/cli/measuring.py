"""``temzoo measure`` and ``report``: predictions to tables and plots, in nanometres, and a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from temzoo.cli import common
from temzoo.cli.common import app, calibration, load_tensorflow
from temzoo.cli.size_lines import MOST_LINES, kinds_line, shown
from temzoo.core.files import own_folder

if TYPE_CHECKING:
    from temzoo.measurement.by_hand import ByHand
    from temzoo.workflows.measure_folder import Measured, Particles
    from temzoo.workflows.size_tables import Sizes

MOST_NAMES = 5  # of images in a notice


@app.command()
def measure(
    predictions: Annotated[
        list[Path],
        typer.Argument(help="Folders of `temzoo predict`, or label images (STEM_instances.tif …)."),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("measured"),
    nm_per_pixel: common.NmPerPixel = None,
    scale_bar: common.ScaleBar = None,
    override_calibration: common.OverrideCalibration = False,
    crop_bar: common.CropBar = True,
    ignore_box: common.IgnoreBox = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Folder of the micrographs, for intensities, if they were moved."),
    ] = None,
    classes: Annotated[
        list[str] | None, typer.Option("--class", help="Measure this class alone; repeatable.")
    ] = None,
    min_area_px: Annotated[int, typer.Option(help="Leave out smaller particles.")] = 0,
    min_diameter_nm: Annotated[
        float, typer.Option(help="Smaller ones stay in the table and count in nothing.")
    ] = 0.0,
    min_diameter_px: Annotated[float, typer.Option(help="The same in pixels.")] = 0.0,
    border: Annotated[
        str,
        typer.Option(
            help="Sizes of particles at the border: exclude; correct for those missing"
            " (ISO 13322-1, Miles-Lantuejoul); include."
        ),
    ] = "exclude",
    over: Annotated[
        str, typer.Option(help="Intervals by drawing particles, or whole images.")
    ] = "particles",
    lines: Annotated[
        list[str] | None,
        typer.Option(help="Lines, as dislocations: length per area of this class; repeatable."),
    ] = None,
    thickness_nm: Annotated[
        float | None, typer.Option(help="Of the foil: number, swelling and lines per volume.")
    ] = None,
    seed: common.Seed = 0,
    classifier: Annotated[
        str | None, typer.Option(help="A run or weights that tell each particle's class.")
    ] = None,
    window_px: Annotated[float | None, typer.Option(help="Side of its windows, px.")] = None,
    window_nm: Annotated[float | None, typer.Option(help="Side of its windows, nm.")] = None,
    window_feret: Annotated[
        float | None, typer.Option(help="Side as a multiple of each particle's Feret diameter.")
    ] = None,
    mask_out: Annotated[
        bool, typer.Option(help="Replace other objects in its windows by background.")
    ] = False,
    overlays: Annotated[
        bool, typer.Option(help="Draw each micrograph with its particles coloured by kind.")
    ] = False,
    with_: common.With = None,
    corrections: Annotated[
        Path | None, typer.Option(help="File that the page of `temzoo report` saved.")
    ] = None,
    as_json: common.AsJson = False,
):
    """Measure the particles of predictions: sizes, shapes, neighbours; their number and spread.

    Writes particles.csv and particles.parquet, a row each; summary.csv, an image a row and all of
    them together, with 95 % intervals; sizes.png, the size distribution; kinds.csv and kinds.png,
    what is sphere, rod, faceted, irregular or aggregate, or of the classifier's classes. Lengths
    are in nm where the micrographs are calibrated, or calibrated here, else in px; each column's
    name says which. Where only some are, those that are not have files of their own:
    particles_px.csv … Where the card of the weights says how far they are off, the intervals of D50
    and number hold that too. Boxes have no areas and diameters: number, density and sides are told.
    summary.csv says how many objects were excluded, taken in, merged and relabelled by hand, if any
    were.

    --lines CLASS writes lines.csv: length along the skeleton of its pixels, by area. --thickness-nm
    writes volumes.csv: number of particles by volume, volume fraction and swelling, as spheres; and
    gives lines by volume.

    Example: temzoo measure predictions --out measured

    --scale-bar takes the ends of a bar, or auto, off or require: auto reads the bar in the picture,
    if the extra scalebar is installed and nothing else states a calibration.

    Example: temzoo measure predictions --scale-bar 980,100,980,300=50

    --classifier cuts the particles as `temzoo particles --border mirror` does, has the run tell
    their class, and adds its probability.

    Example: temzoo measure predictions --classifier runs/shapes --overlays
    """
    from temzoo.micrographs.drawn import MODES, Drawn, boxes_of
    from temzoo.workflows import foil_tables
    from temzoo.workflows.measure_folder import looked_at, measure_folder
    from temzoo.workflows.size_tables import tables_of, write_sizes

    mode, ends = (scale_bar, None) if scale_bar in MODES else ("auto", scale_bar)
    by_hand = calibration(nm_per_pixel, ends, override=override_calibration)
    window = {"window_px": window_px, "window_nm": window_nm, "mask_out": mask_out}
    window |= {"window_feret": window_feret}
    if classifier is None and any(window.values()):
        raise ValueError(
            "A window is a classifier's. Received: no --classifier. Give one, or leave out"
            " --window-px, --window-nm, --window-feret and --mask-out."
        )
    of_maps = {"--classifier": classifier, "--overlays": overlays, "--lines": lines}
    other = next((name for name, asked in of_maps.items() if asked), None)
    if corrections is not None and other is not None:
        raise ValueError(
            "A classifier, overlays and lines see the maps as they are. Received: --corrections"
            f" with {other}. Write corrected maps first: temzoo apply-corrections"
            " PREDICTIONS FILE --out FOLDER."
        )
    how = {"images": images, "by_hand": by_hand}
    how["drawn"] = Drawn(mode, crop_bar, boxes_of(ignore_box))
    notice, whole = "", classifier is not None or overlays
    with own_folder(out), tables_of(out) as tables:
        measured = measure_folder(
            predictions,
            **how,
            tables=None if whole else tables,
            corrections=corrections,
            min_area_px=min_area_px,
            min_diameter_nm=min_diameter_nm,
            min_diameter_px=min_diameter_px,
            classes=classes,
        )
        if classifier is not None:
            load_tensorflow()
            from temzoo.workflows.particle_kinds import classified

            model = common.trained(classifier)
            measured, notice = classified(measured, predictions, model, images=images, **window)
        foil = foil_tables.foil_tables(
            measured,
            looked_at(predictions, **how),
            lines=lines or (),
            thickness_nm=thickness_nm,
            over=over,
        )
        by_unit = write_sizes(measured, out, border=border, over=over, seed=seed)
        written = foil_tables.write_foil_tables(foil, out)
    if as_json:
        told = {unit: sizes.facts() for unit, sizes in by_unit.items()}
        common.print_json(told | foil_tables.facts(foil))
    with common.json_alone(as_json):
        _tell(measured, by_unit, by_hand)
        print("".join(f"{line}\n" for line in (*foil_tables.told(foil), *written)), end="")
        print(f"{notice}\n" if notice else "", end="")
        if overlays:
            _draw(measured, predictions, out, images)


def _draw(measured: Measured, predictions: list[Path], out: Path, images: Path | None) -> None:
    """Writes the overlays, and tells of images that have none."""
    from temzoo.workflows.particle_kinds import OVERLAYS, write_overlays

    files, without = write_overlays(measured, predictions, out, images=images)
    print(f"{out / OVERLAYS}: {len(files)} overlays")
    if without:
        names = ", ".join(without[:MOST_NAMES])
        more = f" and {len(without) - MOST_NAMES} more" if len(without) > MOST_NAMES else ""
        line = f"no overlay of {names}{more}, whose micrograph is not at hand. Give --images."
        typer.echo(f"temzoo: {line}", err=True)


def _tell(measured: Measured, by_unit: Mapping[str, Sizes], by_hand: ByHand) -> None:
    """Prints the summaries, the files, and what may surprise."""
    from temzoo.measurement.between_images import told

    for sizes in by_unit.values():
        print(shown(sizes.summary))
        images = len(sizes.summary["image"].unique()) - 1
        if sizes.differing:
            print(told(sizes.differing, images))
        print(kinds_line(sizes.kinds))
        print("".join(f"{path}\n" for path in sizes.files), end="")
    if measured.corrected:
        print(f"Corrected by hand: {measured.corrected_text}")
    seen = {name: where for name, where in measured.calibrations.items() if "picture" in where}
    for name in [*seen][:MOST_NAMES]:
        print(f"{name}: {seen[name]}")
    if len(seen) > MOST_NAMES:
        print(f"… and {len(seen) - MOST_NAMES} more; summary.csv has them all")
    notices = [*intensity_notices(measured.without_micrograph), by_hand.notice(measured.own_scales)]
    if "px" in measured.by_unit:
        notices.append(pixel_notice(measured.by_unit))
    for line in filter(None, notices):
        typer.echo(f"temzoo: {line}", err=True)


def pixel_notice(by_unit: Mapping[str, Particles]) -> str:
    """Why sizes are in pixels, and of which images, where not of all."""
    from temzoo.micrographs import drawn_text

    names = list(by_unit["px"].frames)
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    which = f"{', '.join(names[:MOST_NAMES])}{more}" if len(by_unit) > 1 else "the images"
    state = "states" if len(by_unit) > 1 and len(names) == 1 else "state"
    extra = (
        ""
        if drawn_text.can_read_text()
        else " pip install 'temzoo[scalebar]' reads bars in pictures."
    )
    return (
        f"sizes are in pixels, for {which} {state} no calibration. Give --nm-per-pixel 0.5, or"
        f" --scale-bar ROW,COL,ROW,COL=LENGTH_NM.{extra}"
    )


def intensity_notices(without: Mapping[str, str]) -> list[str]:
    """Lines on micrographs that gave no intensities: why, by the image's name."""
    if not without:
        return []
    lines = [f"{name}: {why}" for name, why in without.items()]
    if len(lines) > MOST_LINES:
        lines = [*lines[:MOST_LINES], f"… and {len(lines) - MOST_LINES} more."]
    images = "1 image" if len(without) == 1 else f"{len(without)} images"
    hint = f"mean_intensity is empty for {images}. Give --images, where the micrographs lie now."
    return [*lines, hint]


@app.command()
def report(
    source: Annotated[Path, typer.Argument(help="A folder of predictions, or a run folder.")],
    out: Annotated[Path | None, typer.Option(help="File to write; report.html in it.")] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Where the micrographs lie now; of a run, the validation ones."),
    ] = None,
    labels: common.LabelsIfAny = None,
    values: common.Values = "auto",
    rename: common.Rename = None,
    merge: common.Merge = None,
    nm_per_pixel: common.NmPerPixel = None,
    scale_bar: common.ScaleBar = None,
    override_calibration: common.OverrideCalibration = False,
    title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
    limit: Annotated[int, typer.Option(help="Micrographs to picture; all are measured.")] = 50,
    with_: common.With = None,
):
    """Write one HTML file of predictions, or of a training run, to send to a colleague.

    It holds the micrographs with outlines to toggle and zoom, the sizes and their distribution, the
    table of particles to sort and download, scores, model, and how all was made. It works offline.

    A run's validation micrographs are predicted, scored and shown when --images and --labels are
    given, and read as it was trained with, unless --values, --rename or --merge say otherwise;
    without them the report holds its history, and the scores of `temzoo evaluate RUN --out
    RUN/scores`.

    Example: temzoo report predictions --nm-per-pixel 0.42 --title "Batch 7"
    """
    by_hand = calibration(nm_per_pixel, scale_bar, override=override_calibration)
    if labels is not None:
        load_tensorflow()
    from temzoo.labels.renaming import parsed
    from temzoo.pages import write_report
    from temzoo.pages.training_run import is_run

    renames, merges = parsed(rename, merge)
    written = write_report(
        source,
        out=out,
        images=images,
        labels=labels,
        values=values,
        rename=renames,
        merge=merges,
        nm_per_pixel=by_hand.scale,
        override_calibration=by_hand.override,
        title=title,
        limit=limit,
        progress=True,
    )
    print(f"report: {written} ({written.stat().st_size / 1e6:.1f} MB)")
    if not is_run(source):
        print("open it in a browser; Correct, beside the table, puts particles right by hand")
