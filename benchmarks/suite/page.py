"""``results/README.md`` and its plots, made anew from the records each time.

    python -m benchmarks page

The full runs come first; quick ones stand in a part of their own, by the same functions.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.table import summary
from benchmarks.records import RESULTS, kept, write_lines
from benchmarks.suite import plots
from benchmarks.suite.plots import Point

Record = Mapping[str, Any]
MB, GB = 1e6, 1e9
MAPS = 5  # bytes a pixel of what predict returns: classes in one, instances in four
# Reports of their own, in the order in which a reader may want them.
DETAILS = {
    "accuracy.md": "trainings on 10 and 293 images beside baselines (`benchmarks.accuracy`)",
    "tried.md": "what was tried for accuracy, with figures",
    "export.md": "exports: seconds and sizes (`benchmarks.export`)",
    "instances.md": "particles told apart: AP, PQ, counts, densities (`benchmarks.instances`)",
    "peers.md": "other packages at the same minutes (`benchmarks.peers`)",
    "gpu.md": "training and prediction on a GPU beside PyTorch (`benchmarks.gpu`)",
    "shapes.md": "whether Mask R-CNN learns outlines (`benchmarks.shapes`)",
    "denoise.md": "restorers: PSNR, SSIM and what they do for segmentation (`benchmarks.denoise`)",
    "colour.md": "colouring of grey images (`benchmarks.colour`)",
    "latent.md": "VAEs: digits, particles at any angle (`benchmarks.latent_space`)",
    "batch_one.md": "an image alone beside one of eight, in OpenVINO (`benchmarks.batch_one`)",
    "limits.md": "memory at full size (`benchmarks.limits`)",
    "tuning.md": "what a search gains over the default (`benchmarks.tuning`)",
}
PIXELS = (
    ("IoU", "per_image", "iou"),
    ("pooled IoU", "pooled", "iou"),
    ("Dice", "per_image", "dice"),
    ("boundary F1", "per_image", "boundary_f1"),
)
OBJECTS = (
    ("AP", "pooled", "mask_ap"),
    ("AP50", "pooled", "mask_ap50"),
    ("AP75", "pooled", "mask_ap75"),
    ("PQ", "pooled", "panoptic_quality"),
    ("count error", "pooled", "relative_count_error"),
    ("D50 error", "pooled", "d50_error"),
    ("KS", "pooled", "ks_statistic"),
)
ACCURACY = (*PIXELS, *OBJECTS)
SIGNED = ("count error", "D50 error")
COMPARED = {
    "iou": "IoU",
    "boundary_f1": "boundary F1",
    "instance_f1": "instance F1",
    "panoptic_quality": "PQ",
    "mask_ap50": "AP50",
    "absolute_count_error": "|count error|",
    "absolute_d50_error": "|D50 error|",
    "ks_statistic": "KS",
}


def write_page(folder: Path = RESULTS) -> Path:
    """Writes page and plots from the records in ``folder``; gives the page's path."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `python -m benchmarks`, from the JSON files in `suite/`, which say more: every",
        "image's figures, versions, settings, fingerprints of the data. Each row's command repeats",
        "it. `[low, high]`: of scores the 95 % bootstrap interval over images; of times the least",
        "and most of the repetitions, after their median. Times and ratios of one row are of one",
        "run; the machines are shared, so that ratios tell more than seconds.",
        "",
    ]
    for quick, prefix in ((False, ""), (True, "quick-")):
        records = kept(folder, quick=quick)
        if records and quick:
            lines += ["# The quick run", "", *QUICK_NOTE, ""]
        if records:
            lines += _part(records, folder, prefix, earlier=_earlier(folder) if not quick else [])
    lines += _details(folder)
    return write_lines(folder / "README.md", lines)


QUICK_NOTE = (
    "`python -m benchmarks all --quick`: drawn micrographs and small networks, minutes in all. It",
    "shows that everything runs, and how machines compare; its scores say little of real images.",
)


def _part(records: Sequence[Record], folder: Path, prefix: str, *, earlier) -> list[str]:
    of: dict[str, list[Record]] = {}
    for record in records:
        of.setdefault(record["what"], []).append(record)
    sections = {
        "accuracy": lambda found: _accuracy(found, earlier, folder, prefix),
        "paired": _paired,
        "restoration": _restoration,
        "latent": _latent,
        "precision": _precision,
        "throughput": _throughput,
        "memory": lambda found: _memory(found, folder, prefix),
        "pipeline": _pipeline,
        "training": _training,
        "labels": _labels,
        "measure": _measure,
        "startup": _startup,
        "peers": summary,
    }
    lines = []
    for what, section in sections.items():
        if what in of:
            lines += [*section(of[what]), "", measured(of[what]), ""]
    return lines


def measured(records: Iterable[Record]) -> str:
    """The machines, versions, commits and dates under a table, and how busy they were before."""
    machines: dict[str, list[Record]] = {}
    for r in records:
        hardware, versions = r["hardware"], r["versions"]
        libraries = f"Python {versions.get('python')}, TensorFlow {versions.get('tensorflow')}"
        name = f"{hardware['processor']}, {hardware['cores']} cores, {libraries}, {r['date']}"
        machines.setdefault(name, []).append(r)
    told = []
    for name, found in sorted(machines.items()):
        commits = ", ".join(sorted({str(r["commit"]) for r in found}))
        busy = [r["load_before"] for r in found if "load_before" in r]
        load = f", load before {min(busy):g} to {max(busy):g}" if busy else ""
        told.append(f"{name}, commit {commits}{load}")
    return f"Measured on: {'; '.join(told)}."


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """A Markdown table; first column left, others as they come."""
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in ([*head], ["---"] * len(head), *cells)]


def number(value: float | None, digits: int = 3) -> str:
    """Three significant figures, or a dash for what is not defined."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"


def timed(figure: Mapping[str, float] | None, factor: float = 1.0) -> str:
    """``median [least, most]`` of a spread, or the figure alone where there is one repetition."""
    if figure is None:
        return "–"
    if figure.get("repetitions") == 1:
        return number(factor * figure["median"])
    median, least, most = (number(factor * figure[key]) for key in ("median", "least", "most"))
    return f"{median} [{least}, {most}]"


def score(figure: Mapping[str, float] | None, form: str = "{:.3f}") -> str:
    """``value [low, high]`` of a score, or the value alone where it has no interval."""
    if figure is None or figure["value"] is None:
        return "–"
    shown = [
        form.format(figure[key]) for key in ("value", "low", "high") if figure[key] is not None
    ]
    return f"{shown[0]} [{', '.join(shown[1:])}]" if shown[1:] else shown[0]


def _accuracy(found: Sequence[Record], earlier, folder: Path, prefix: str) -> list[str]:
    lines = [
        "## Accuracy",
        "",
        "At full resolution. IoU, Dice, boundary F1: means over images of the foreground classes",
        "(definitions: heads of `temzoo/evaluation.py`, `benchmarks/suite/boundary.py` and",
        "`sizes.py`; tolerance of the boundary 0.75 % of the diagonal). A network's best epoch was",
        "chosen on its validation images, as was how networks of emps see and learn (`tried.md`);",
        "where they are these, it flatters them. Images/s: five images, models of a run in turns.",
        "",
        *table(
            ["data, images", "model", *(name for name, _, _ in PIXELS), "images/s", "command"],
            [[*_scores_row(r, PIXELS), timed(_rate_of(r)), f"`{r['command']}`"] for r in found],
        ),
        "",
        "Objects, of all images together, told apart as `temzoo predict` does by itself: cut at",
        "necks, below 10 px dropped, unless a row says otherwise. Count and D50 errors are",
        "relative, KS is the Kolmogorov-Smirnov distance of the distributions of diameters.",
        "",
        *table(
            ["data, images", "model", *(name for name, _, _ in OBJECTS)],
            [_scores_row(r, OBJECTS) for r in found if not r.get("curve")],
        ),
    ]
    classes = _classes_lines(found)
    judged = {r["dataset"]["name"] for r in found if not r.get("curve")}
    points = [*_speed_points(found), *(point for point in earlier if point.panel not in judged)]
    lines += [*classes, *_plot(plots.iou_and_speed, points, folder, f"{prefix}iou-speed.png")]
    curve = _curve_points([*found, *(e for e in _earlier_records(folder) if not prefix)])
    lines += _cards_lines(found)
    lines += _plot(plots.learning_curve, curve, folder, f"{prefix}learning-curve.png")
    return lines + _curve_lines(found)


def _scores_row(record: Record, columns: Sequence[tuple[str, str, str]]) -> list[str]:
    figures = record["figures"]
    cells = [
        score(figures[part].get(metric), "{:+.1%}" if name in SIGNED else "{:.3f}")
        for name, part, metric in columns
    ]
    return [f"{record['dataset']['name']}, {record['dataset']['images']}", record["about"], *cells]


def _paired(found: Sequence[Record]) -> list[str]:
    rows = [
        [record["dataset"]["name"], pair["model"], pair["beside"], *_changes(pair["metrics"])]
        for record in found
        for pair in record["figures"]["pairs"]
    ]
    commands = "; ".join(f"`{record['command']}`" for record in found)
    return [
        "### Paired differences",
        "",
        "On the same images; better or worse is said where the interval excludes 0, which for a",
        "handful of images says little. All are means over images of each image's own figure, also",
        "those of objects, which the table above pools: few objects weigh as much as many here.",
        "",
        *table(["data", "model", "beside", *COMPARED.values()], rows),
        "",
        f"By {commands}.",
    ]


def _changes(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [_change(metrics.get(metric)) for metric in COMPARED]


def _rate_of(record: Record) -> dict[str, float] | None:
    seconds = record["figures"].get("seconds_per_image")
    return None if seconds is None else _rate(seconds)


def _rate(seconds: Mapping[str, float]) -> dict[str, float]:
    return {
        "median": 1 / seconds["median"],
        "least": 1 / seconds["most"],
        "most": 1 / seconds["least"],
    }


def _classes_lines(found: Sequence[Record]) -> list[str]:
    """Pooled IoU by class, where there is more than one beside the background."""
    lines = []
    for record in found:
        each = record["figures"]["pooled_iou_of_classes"]
        if len(each) > 2:
            known = [value for value in each.values() if value is not None]
            shown = ", ".join(f"{name} {number(value)}" for name, value in each.items())
            mean = f"mean of all {len(each)}: {number(sum(known) / len(known))}"
            lines += [
                "",
                f"`{record['model']}` on {record['dataset']['name']}, pooled IoU: {shown};",
            ]
            lines[-1] += f" {mean}."
    return lines


def _cards_lines(found: Sequence[Record]) -> list[str]:
    """What the cards of shipped weights say, beside what was found; of the images they speak of."""
    told = []
    for record in found:
        said = record.get("card_scores", {})
        if "iou" in said and said.get("images") == record["dataset"]["images"]:
            value = record["figures"]["per_image"]["iou"]["value"]
            told.append(f"`{record['model']}` {said['iou']:.4f}, here {value:.4f}")
    return ["", f"IoU on the weights' cards: {'; '.join(told)}."] if told else []


def _curve_lines(found: Sequence[Record]) -> list[str]:
    """How long a network of a learning curve learns: the same on few images as on many."""
    told = {}
    for record in found:
        if record.get("curve"):
            settings = record["training"]["settings"]
            steps = settings["epochs"] * settings["steps_per_epoch"]
            name = record["curve"]
            told[name] = f"`{name}` {steps} steps of {settings['batch']} crops"
    if not told:
        return []
    each = "; ".join(told.values())
    return ["", f"On few images as on many, a training of the curve has, in these rows: {each}."]


def _change(change: Mapping[str, Any] | None) -> str:
    if change is None:
        return "–"
    value, low, high = (f"{change[key]:+.3f}" for key in ("value", "low", "high"))
    told = "" if change["verdict"] == "not told apart" else f" **{change['verdict']}**"
    return f"{value} [{low}, {high}]{told}"


def _speed_points(found: Iterable[Record]) -> list[Point]:
    """One of each model; of a learning curve the end."""
    shown: dict[tuple[str, str], Record] = {}
    timed = (record for record in found if _rate_of(record))
    for record in sorted(timed, key=lambda r: r["dataset"]["train_images"]):
        shown[record["dataset"]["name"], record.get("curve") or record["model"]] = record
    return [_point(r["dataset"]["name"], r["about"], r["figures"]) for r in shown.values()]


def _point(panel: str, series: str, figures: Mapping[str, Any]) -> Point:
    rate, iou = _rate(figures["seconds_per_image"]), figures["per_image"]["iou"]
    x = (rate["median"], rate["least"], rate["most"])
    return Point(panel, series, x, tuple(iou[key] for key in ("value", "low", "high")))


def _earlier_records(folder: Path) -> list[Record]:
    """Those of ``benchmarks.accuracy``: its trainings stand in the plots too."""
    paths = sorted(folder.glob("accuracy-*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def _earlier(folder: Path) -> list[Point]:
    """Where the suite has judged no weights on the same data."""
    return [
        _point(record["data"], record["name"], record)
        for record in _earlier_records(folder)
        if not record["name"].split("-")[0].endswith("10")
    ]


def _curve_points(records: Iterable[Record]) -> list[Point]:
    """IoU over training images, of series that have more than one number of them."""
    of: dict[tuple[str, str], list[Point]] = {}
    for record in records:
        if "what" not in record:  # of benchmarks.accuracy
            panel, series, images = record["data"], record["about"], record["train"]["images"]
            figures = record
        elif record.get("curve"):
            panel, series = record["dataset"]["name"], record["curve"]
            images, figures = record["dataset"]["train_images"], record["figures"]
        else:
            continue
        iou = figures["per_image"]["iou"]
        y = tuple(iou[key] for key in ("value", "low", "high"))
        of.setdefault((panel, series), []).append(Point(panel, series, (images,) * 3, y))
    return [p for line in of.values() if len({p.x for p in line}) > 1 for p in line]


def _plot(draw, points: Sequence[Point], folder: Path, name: str) -> list[str]:
    if not points:
        return []
    draw(points, folder / name)
    return ["", f"![{name.removesuffix('.png').replace('-', ' ')}]({name})"]


def _restoration(found: Sequence[Record]) -> list[str]:
    rows = []
    for record in found:
        for dose, figures in record["figures"]["doses"].items():
            cells = [_decibel(figures[key]) for key in ("noisy_psnr_db", "psnr_db", "gain_db")]
            ssim = score(figures["ssim"])
            where = f"{record['dataset']['name']}, {record['dataset']['images']}"
            rows.append([where, record["about"], dose, *cells, ssim, f"`{record['command']}`"])
    head = ["data, images", "model", "dose", "noisy, dB", "PSNR, dB", "gain, dB", "SSIM", "command"]
    return ["## Restorers", "", *table(head, rows)]


def _latent(found: Sequence[Record]) -> list[str]:
    scores = {
        "reconstruction error": "reconstruction_error",
        "KL, nats": "kl",
        "r diameter": "r diameter_px",
        "r aspect ratio": "r aspect_ratio",
        "r angle": "r angle_deg",
    }
    rows = []
    for record in found:
        figures = record["figures"]
        cells = [score(figures[key], "{:.3g}") for key in scores.values()]
        units = f"{figures['active_units']} of {figures['latent_dim']}"
        gap = f"{number(figures['mig'])} ({number(figures['mig_shuffled'])})"
        where = f"{record['about']}; {record['dataset']['name']}"
        rows.append([where, *cells, units, gap, f"`{record['command']}`"])
    return [
        "## VAEs",
        "",
        "On drawn particles that trained nothing: mean squared error per pixel; the greatest",
        "|r| of any latent number with what was drawn (of the angle: with its double, and 0 is",
        "wanted of a model that does not depend on it); mutual information gap, and by chance.",
        "",
        *table(["model; pictures", *scores, "active units", "MIG (chance)", "command"], rows),
    ]


def _precision(found: Sequence[Record]) -> list[str]:
    lines = [
        "## Engines and precisions",
        "",
        "`temzoo.predict` from pixels to class map, engines in turns on each image; the ratio is",
        "to the model as Keras runs it, image by image, with the least and most. The change of",
        "IoU is paired, with its interval; pixels: the share whose class differs. Tiling costs:",
        "seconds of a micrograph in tiles above those of the network alone, turn by turn, with the",
        "least and most; and the pixels computed for each that there is.",
        "",
    ]
    head = ["engine", "s per image", "ratio", "IoU", "change of IoU", "pixels", "tiling costs"]
    for record in found:
        rows = [_precision_row(row) for row in record["figures"]["rows"]]
        lines += [f"**{record['about']}**; `{record['command']}`", ""]
        lines += [*table([*head, "batch 1 over 8"], rows), ""]
        left_out = record["figures"]["left_out"]
        if left_out:
            told = "; ".join(f"{name}: {why}" for name, why in left_out.items())
            lines += [f"Left out: {told}", ""]
    return lines[:-1]


def _precision_row(row: Mapping[str, Any]) -> list[str]:
    return [
        f"{row['engine']}, {row['precision']}",
        timed(row["seconds"]),
        timed(row["ratio_to_keras"]),
        score(row["iou"]),
        score(row["iou_change"], "{:+.4f}"),
        f"{row['pixels_that_differ']:.2%}",
        f"{_overhead(row['tiling']['overhead'])}; {row['tiling']['pixels_per_pixel']:.2f} px a px",
        f"{row['batch_1_over_8']:+.0%}",
    ]


def _overhead(figure: Mapping[str, float]) -> str:
    return "{median:+.0%} [{least:+.0%}, {most:+.0%}]".format_map(figure)


def _decibel(figure: Mapping[str, float]) -> str:
    return f"{figure['value']:.2f} [{figure['low']:.2f}, {figure['high']:.2f}]"


def _throughput(found: Sequence[Record]) -> list[str]:
    lines = [
        "## Throughput",
        "",
        "The network alone on pixels in memory, engines in turns. Ratio: speed beside `tensorflow`",
        "float32, turn by turn. Peak share: of what a float32 matrix product reached in the same",
        "minutes. Memory: the most while a batch is predicted, of a process that does this alone,",
        "with its libraries, without what making the engine took. Difference: the largest of a",
        "probability, beside `tensorflow` float32. How: the head of",
        "`benchmarks/suite/throughput.py`.",
        "",
    ]
    head = ["side, px", "batch", "engine", "images/s", "ratio", "p50, ms", "p95, ms", "peak share"]
    for record in found:
        millions = number(record["parameters"] / 1e6)
        lines += [
            f"**{record['about']}**: {millions} M parameters,"
            f" {number(record['gflop_per_256px'])} GFLOP at 256 px; `{record['command']}`",
            "",
            *table([*head, "memory, MB", "difference"], map(_cell_row, record["figures"]["cells"])),
            "",
        ]
        too_large = ", ".join(record["figures"].get("too_large", ()))
        if too_large:
            why = "more pixels than `temzoo.predict` gives a network at once"
            lines += [f"Left out: batches of {too_large}, {why}.", ""]
    return lines[:-1]


def _cell_row(cell: Mapping[str, Any]) -> list[Any]:
    start = [cell["side"], cell["batch"], f"{cell['engine']}, {cell['precision']}"]
    if "left_out" in cell:
        return [*start, f"left out: {cell['left_out']}", *[""] * 6]
    latency = cell["latency_s"]
    return [
        *start,
        timed(cell["images_per_s"]),
        timed(cell.get("ratio_to_reference")),
        number(1e3 * latency["median"]),
        number(1e3 * latency["p95"]),
        f"{cell['peak_share']:.0%}" if "peak_share" in cell else "–",
        number(cell["peak_bytes"] / MB) if cell.get("peak_bytes") else "–",
        f"{cell['difference_to_reference']:.1g}" if "difference_to_reference" in cell else "–",
    ]


def _memory(found: Sequence[Record], folder: Path, prefix: str) -> list[str]:
    sides = sorted({row["side"] for record in found for row in record["figures"]["sides"]})
    rows, points = [], []
    for record in found:
        used = {row["side"]: row["used"] / GB for row in record["figures"]["sides"]}
        rest = {side: gigabytes - MAPS * side**2 / GB for side, gigabytes in used.items()}
        for told, values in (("", used), (", without the maps", rest)):
            cells = [number(values[side]) if side in values else "–" for side in sides]
            rows.append([record["about"] + told, *cells, f"`{record['command']}`"])
            points += [
                Point("temzoo.predict", record["model"] + told, (s,) * 3, (v,) * 3)
                for s, v in values.items()
            ]
    return [
        "## Memory against image size",
        "",
        "GB (10⁹ bytes) that `temzoo.predict` needs on top of the libraries, the network and the",
        "image itself, results included; each in a process of its own. The maps are those it",
        f"returns, of classes and of instances: {MAPS} bytes a pixel.",
        "",
        *table(["what", *(f"{side:,} px" for side in sides), "command"], rows),
        *_plot(plots.memory_and_size, points, folder, f"{prefix}memory.png"),
    ]


def _pipeline(found: Sequence[Record]) -> list[str]:
    rows, waits = [], []
    for record in found:
        for name, rate in record["figures"]["images_per_s"].items():
            rows.append([name, timed(rate), f"`{record['command']}`"])
        for name, share in record["figures"]["waiting"].items():
            longer = record["figures"]["longer"][name]
            waits.append(f"`{name}` {share:.2%} and {longer:+.1%}")
    lines = ["## Input pipeline", "", *table(["what", "images/s", "command"], rows)]
    if waits:
        lines += [
            "",
            "Share of a training step that waits for its batch, and how much longer a step is",
        ]
        lines += [f"than from memory, beside threads that make batches: {'; '.join(waits)}."]
    return lines


def _training(found: Sequence[Record]) -> list[str]:
    steps, shares, scores = [], [], []
    for record in found:
        figures, command = record["figures"], f"`{record['command']}`"
        for row in figures.get("steps", ()):
            beside = figures.get("freezing", {}).get(row["variant"], {}).get("float32")
            seconds = (timed(row["step_s"][p]) for p in ("float32", "mixed_bfloat16"))
            ratios = (timed(row["float32_over_bfloat16"]), timed(beside))
            steps.append([record["about"], row["variant"] or "–", *seconds, *ratios, command])
        share = figures.get("encoder", {}).get("share_of_step", {})
        shares += [f"{record['name']}, {p}: {s['median']:.0%}" for p, s in share.items()]
        for name, one in figures.get("trainings", {}).items():
            change = _change(figures["iou_change"].get(name))
            scores.append([record["about"], name, score(one["iou"], "{:.4f}"), change, command])
    lines = [
        "## Speed of training",
        "",
        "A step as `temzoo.train` takes it, on a batch in memory, variants in turns. Beside",
        "frozen: seconds over those with the encoder frozen, float32. How: the head of",
        "`benchmarks/suite/training_speed.py`.",
    ]
    head = ["network", "encoder learns", "float32, s", "mixed_bfloat16, s", "float32 / bfloat16"]
    if steps:
        lines += ["", *table([*head, "beside frozen", "command"], steps)]
    if shares:
        lines += ["", "The encoder's forward pass alone, of a step with it frozen, which keeping"]
        lines += [f"its features would save at most: {'; '.join(shares)}."]
    if scores:
        head = ["training", "precision", "IoU", "difference to float32, same images", "command"]
        lines += ["", *table(head, scores)]
    return lines


def _labels(found: Sequence[Record]) -> list[str]:
    rows = []
    for record in found:
        figures = record["figures"]
        told = record["dataset"]["bytes"] / MB
        for who in ("temzoo", "datumaro"):
            cells = _labels_cells(figures[who])
            name = f"{record['about']}, {number(told)} MB"
            version = figures[who].get("version", "")
            rows.append([name, f"{who} {version}".strip(), *cells, f"`{record['command']}`"])
        if "ratio" in figures:
            parts = [timed(figures["ratio"][part]) for part in ("read_s", "draw_s", "peak")]
            rows.append(["", "datumaro / temzoo, in turns", *parts, "", ""])
    head = ["CVAT export", "by", "read, s", "draw, s", "memory, MB", "shapes", "command"]
    note = "Draw: an instance map of every image. How: head of `benchmarks/suite/labels.py`."
    return ["## Labels", "", note, "", *table(head, rows)]


def _labels_cells(figures: Mapping[str, Any]) -> list[str]:
    if "left_out" in figures:
        return [f"left out: {figures['left_out']}", "", "", ""]
    read, draw = (timed(figures[part]) for part in ("read_s", "draw_s"))
    return [read, draw, timed(figures["peak"], 1 / MB), f"{figures['shapes']:,}"]


def _measure(found: Sequence[Record]) -> list[str]:
    rows = [
        [record["about"], name, timed(figure), f"`{record['command']}`"]
        for record in found
        for name, figure in record["figures"].items()
    ]
    return ["## Measurement", "", *table(["what", "by", "CPU seconds, or ratio", "command"], rows)]


def _startup(found: Sequence[Record]) -> list[str]:
    rows = [
        [name, timed(figure), f"`{record['command']}`"]
        for record in found
        for name, figure in record["figures"].items()
    ]
    return ["## Start", "", *table(["fresh process", "seconds", "command"], rows)]


def _details(folder: Path) -> list[str]:
    there = {name: about for name, about in DETAILS.items() if (folder / name).is_file()}
    if not there:
        return []
    return ["## In detail", "", *(f"- [{name}]({name}): {about}" for name, about in there.items())]
