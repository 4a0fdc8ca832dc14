"""``results/peers.md``, and what the suite's page says of it, from the records of ``peers``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.peers.contestants import OURS
from benchmarks.records import RESULTS, kept, measured_on, write_lines

METRICS = {"iou": "IoU", "dice": "Dice", "instance_f1": "instance F1"}
AHEAD = {"better": "**ahead**", "worse": "**behind**"}
LONGEST = 300  # of a reason, in characters
HEAD = (
    "# Other packages on the same data",
    "",
    "Written by `python -m benchmarks peers`. Everybody had the same training micrographs, one",
    "list of crops with their quarter turns and mirrors, and the same processor time to learn;",
    "nobody saw the labels that judge, so that no epoch is chosen by them. Whole micrographs are",
    "predicted at stored resolution and scored by `temzoo.evaluation`: IoU and Dice are means over",
    "images with their 95 % bootstrap intervals; AP50 is pooled, of connected components, or of",
    "StarDist's own objects. Networks learn by Dice and cross-entropy with AdamW, and a rate that",
    "falls to 0 as the time runs out; AtomAI and StarDist as they do by themselves.",
    "",
)


def write_table(folder: Path = RESULTS) -> Path:
    """Writes the page; of quick records only where there is no full one."""
    found = [record for record in kept(folder) if record["what"] == "peers"]
    lines, shown = list(HEAD), []
    for part, section in (("contestants", _accuracy), ("cells", _speed)):
        records = [record for record in found if part in record["figures"]]
        for record in [r for r in records if not r["quick"]] or records:
            shown.append(record)
            lines += [*section(record), f"By `{record['command']}`.", ""]
    return write_lines(folder / "peers.md", [*lines, measured_on(shown)])


def summary(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """For the suite's page: scores, what is told apart, and engines beside PyTorch's."""
    lines = ["## Other packages", "", "Same data, crops, minutes and metric: [peers.md](peers.md)."]
    for record in records:
        if "contestants" in record["figures"]:
            rows = record["figures"]["contestants"]
            lines += ["", f"{_job_said(record)}.", "", *_scores(rows), "", *_differences(rows)]
            lines += _left_out(rows)
        else:
            lines += ["", *_speed(record)[2:]]
    return lines


def _scores(rows: Mapping[str, Any]) -> list[str]:
    lines = ["| contestant | IoU | Dice | instance F1 |", "|---|---|---|---|"]
    for row in rows.values():
        if "left_out" not in row:
            cells = [_interval(row["per_image"][metric]) for metric in METRICS]
            lines.append(f"| {row['about']} | {' | '.join(cells)} |")
    return lines


def _accuracy(record: Mapping[str, Any]) -> list[str]:
    job, rows = record["job"], record["figures"]["contestants"]
    lines = [
        f"## {job['dataset']['name']}, {job['minutes']:.3g} minutes",
        "",
        f"{_job_said(record)}; crops of {job['crop']} px, {job['batch']} a step, seed"
        f" {job['seed']}.",
        "",
        "| contestant | IoU | Dice | instance F1 | AP50 | steps (Mpx seen) | min of processor |"
        " parameters | s per image | versions, licence |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(row, job) for row in rows.values()]
    return [*lines, "", *_weights_note(rows), *_differences(rows), *_left_out(rows)]


def _job_said(record: Mapping[str, Any]) -> str:
    job = record["job"]
    return (
        f"{job['dataset']['name']}: {job['train']} micrographs to learn from, {job['val']} judge"
        f" ({job['dataset']['split']}). {job['minutes']:.3g} minutes on {job['threads']} cores,"
        f" {job['budget_s']:g} s of processor"
    )


def _row(row: Mapping[str, Any], job: Mapping[str, Any]) -> str:
    if "left_out" in row:
        return f"| {row['about']} | left out, see below | | | | | | | | |"
    learning = row["learning"]
    steps = "–" if learning["steps"] is None else f"{learning['steps']:,}"
    shown = learning["crops"] * job["crop"] ** 2
    packages = ", ".join(
        f"{name} {each['version']} ({each['licence']})" for name, each in row["packages"].items()
    )
    cells = (
        row["about"],
        *(_interval(row["per_image"][metric]) for metric in METRICS),
        f"{row['pooled']['mask_ap50']['value']:.3f}",
        f"{steps} ({shown / 1e6:.1f} Mpx)",
        f"{learning['cpu_s'] / 60:.1f}",
        f"{row['parameters']:,}",
        f"{row['prediction']['wall_s'] / job['val']:.2f}",
        packages,
    )
    return f"| {' | '.join(cells)} |"


def _interval(figure: Mapping[str, float | None]) -> str:
    if figure["value"] is None:
        return "–"
    if figure["low"] is None:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def _weights_note(rows: Mapping[str, Any]) -> list[str]:
    random = [row["about"] for name, row in rows.items() if name.startswith("smp-") and _bare(row)]
    if not random:
        return []
    return [
        f"The encoders of {'; '.join(random)} began at random: their ImageNet weights are"
        " downloaded at the first use, and nothing was (`--encoder-weights imagenet` does)."
        " temzoo's frozen encoder has ImageNet's; its network with an encoder from random weights"
        " is a row of its own, on the same footing.",
        "",
    ]


def _bare(row: Mapping[str, Any]) -> bool:
    return "options" in row and row["options"]["encoder_weights"] is None


def _differences(rows: Mapping[str, Any]) -> list[str]:
    ours = [name for name in rows if name in OURS and "left_out" not in rows[name]]
    peers = {name: row for name, row in rows.items() if "beside" in row}
    if not ours or not peers:
        return []
    lines = [
        "IoU of temzoo's minus the peer's over the same images, with its interval, and the share",
        "of images won. Ahead or behind is said where the interval excludes 0:",
    ]
    heads = [rows[name]["about"] for name in ours]
    lines += ["", f"| peer | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for row in peers.values():
        cells = [_difference(row["beside"][name]["iou"]) for name in ours]
        lines.append(f"| {row['about']} | {' | '.join(cells)} |")
    return [*lines, ""]


def _difference(found: Mapping[str, Any]) -> str:
    low, high = (found[key] for key in ("low", "high"))
    span = "" if low is None else f" [{low:+.3f}, {high:+.3f}]"
    said = AHEAD.get(found["verdict"], found["verdict"])
    return f"{found['value']:+.3f}{span}, {said}, {found['wins']:.0%}"


def _left_out(rows: Mapping[str, Any]) -> list[str]:
    lines = []
    for row in rows.values():
        if "left_out" in row:
            reason = " ".join(row["left_out"].split())
            lines.append(f"- {row['about']}: {reason[-LONGEST:]}")
    return ["Left out:", "", *lines, ""] if lines else []


def _speed(record: Mapping[str, Any]) -> list[str]:
    lines = [
        "## The same U-Net in every engine",
        "",
        f"{record['about']}. One run, engines in turns, medians of {record['repetitions']}"
        f" repetitions on {record['threads']} threads; the ratio is to PyTorch eager in the same"
        " turn, with the least and most. Difference: the largest in probability to temzoo in"
        " TensorFlow float32, of the same weights.",
        "",
        "| engine | batch | images/s | ratio to PyTorch eager | difference |",
        "|---|---|---|---|---|",
    ]
    for cell in record["figures"]["cells"]:
        if "left_out" in cell:
            reason = " ".join(cell["left_out"].split())[-LONGEST:]
            lines.append(f"| {cell['engine']} | {cell['batch']} | left out: {reason} | | |")
            continue
        ratio, speed = cell.get("ratio"), cell["images_per_s"]
        told = (
            f"{ratio['median']:.2f} [{ratio['least']:.2f}, {ratio['most']:.2f}]" if ratio else "–"
        )
        lines.append(
            f"| {cell['engine']} | {cell['batch']} | {speed['median']:.2f} | {told} |"
            f" {_difference_of(cell)} |"
        )
    return [*lines, ""]


def _difference_of(cell: Mapping[str, Any]) -> str:
    return f"{cell['difference']:.1e}" if "difference" in cell else "–"
