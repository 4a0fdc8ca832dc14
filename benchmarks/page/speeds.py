"""Tables of seconds and bytes: each function takes the records of a kind and gives lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.page.cells import (
    GB,
    LONGEST,
    MB,
    Point,
    Record,
    by,
    change,
    command,
    excess,
    number,
    score,
    table,
    timed,
)

Records = Sequence[Record]
Figures = Mapping[str, Any]
MAPS = 5  # bytes a pixel of what predict returns: classes in one, instances in four


def precision(found: Records) -> list[str]:
    head = "engine | s per image | ratio | IoU | change of IoU | pixels | tiling costs"
    lines = []
    for r in found:
        rows = map(_precision_row, r["figures"]["rows"])
        lines += [f"**{r['about']}**; {command(r)}", ""]
        lines += [*table(f"{head} | batch 1 over 8", rows), ""]
        for name, why in r["figures"]["left_out"].items():
            lines += [f"Left out: {name}: {why}", ""]
    return lines[:-1]


def _precision_row(row: Figures) -> list[str]:
    tiling = row["tiling"]
    return [
        f"{row['engine']}, {row['precision']}",
        timed(row["seconds"]),
        timed(row["ratio_to_keras"]),
        score(row["iou"]),
        score(row["iou_change"], "{:+.4f}"),
        f"{row['pixels_that_differ']:.2%}",
        f"{excess(tiling['overhead'])}; {tiling['pixels_per_pixel']:.2f} px a px",
        f"{row['batch_1_over_8']:+.0%}",
    ]


def batch_one(found: Records) -> list[str]:
    rows = []
    for r, row in ((each, row) for each in found for row in each["figures"]["rows"]):
        alone = number(1e3 * row["batch_1_s"]["median"])
        eight = number(1e3 * row["batch_8_s"]["median"]) if "batch_8_s" in row else "–"
        told = [r["model"], *(row[key] for key in ("side", "precision", "way"))]
        rows.append([*told, alone, eight, excess(row["batch_1_over_8"])])
    head = "weights | side, px | precision | compiled for | alone, ms | of eight, ms | excess"
    return [*table(head, rows), *by(found)]


def throughput(found: Records) -> list[str]:
    lines = []
    for r in found:
        figures, rows = r["figures"], {}
        for cell in figures["cells"]:
            name = f"{cell['engine']}, {cell['precision']}"
            rows.setdefault(name, []).append(_throughput_cell(cell))
        sizes = dict.fromkeys(f"{c['batch']} of {c['side']} px" for c in figures["cells"])
        millions, gflop = number(figures["parameters"] / 1e6), number(figures["gflop_per_256px"])
        lines += [
            f"**{r['about']}**: {millions} M parameters, {gflop} GFLOP at 256 px; {command(r)}",
            "",
            *table(" | ".join(["engine", *sizes]), [[n, *cells] for n, cells in rows.items()]),
            "",
        ]
    return lines[:-1]


def _throughput_cell(cell: Figures) -> str:
    if "left_out" in cell:
        return f"left out: {cell['left_out']}"
    ratio = cell.get("ratio_to_reference")
    told = f" ({number(ratio['median'])})" if ratio else ""
    return number(cell["images_per_s"]["median"]) + told


def memory(found: Records) -> list[str]:
    sides = sorted({row["side"] for r in found for row in r["figures"]["sides"]})
    rows = [
        [r["about"] + told, *(number(values.get(side)) for side in sides), command(r)]
        for r in found
        for told, values in _memory_of(r).items()
    ]
    return table(" | ".join(["what", *(f"{side:,} px" for side in sides), "command"]), rows)


def _memory_of(r: Record) -> dict[str, dict[int, float]]:
    used = {row["side"]: row["used"] / GB for row in r["figures"]["sides"]}
    rest = {side: gigabytes - MAPS * side**2 / GB for side, gigabytes in used.items()}
    return {"": used, ", without the maps": rest}


def memory_points(of: Mapping[str, Records]) -> list[Point]:
    return [
        Point("temzoo.predict", r["model"] + told, (side,) * 3, (value,) * 3)
        for r in of.get("memory", ())
        for told, values in _memory_of(r).items()
        for side, value in values.items()
    ]


def training(found: Records) -> list[str]:
    steps, shares, scores = [], [], []
    for r in found:
        figures = r["figures"]
        for row in figures.get("steps", ()):
            beside = figures.get("freezing", {}).get(row["variant"], {}).get("float32")
            seconds = (timed(row["step_s"][p]) for p in ("float32", "mixed_bfloat16"))
            ratios = (timed(row["float32_over_bfloat16"]), timed(beside))
            steps.append([r["about"], row["variant"] or "–", *seconds, *ratios, command(r)])
        share = figures.get("encoder", {}).get("share_of_step", {})
        shares += [f"{r['name']}, {p}: {s['median']:.0%}" for p, s in share.items()]
        for name, one in figures.get("trainings", {}).items():
            apart = change(figures["iou_change"].get(name))
            scores.append([r["about"], name, score(one["iou"], "{:.4f}"), apart, command(r)])
    head = "network | encoder learns | float32, s | mixed_bfloat16, s | float32 / bfloat16"
    lines = table(f"{head} | beside frozen | command", steps) if steps else []
    if shares:
        lines += ["", f"The encoder's forward pass alone, of a step: {'; '.join(shares)}."]
    head = "training | precision | IoU | difference to float32, same images | command"
    return lines + (["", *table(head, scores)] if scores else [])


def pipeline(found: Records) -> list[str]:
    (r,) = found
    rows = [[name, timed(rate)] for name, rate in r["figures"]["images_per_s"].items()]
    lines, longer = table("what | images/s", rows), r["figures"]["longer"]
    waits = [f"`{n}` {w:.2%} and {longer[n]:+.1%}" for n, w in r["figures"]["waiting"].items()]
    if waits:
        lines += ["", f"Waiting, and how much longer a step is: {'; '.join(waits)}."]
    return [*lines, *by(found)]


def labels(found: Records) -> list[str]:
    rows = []
    for r in found:
        figures, size = r["figures"], number(r["dataset"]["bytes"] / MB)
        for who in ("temzoo", "datumaro"):
            one = figures[who]
            cells = [f"left out: {one.get('left_out')}", "", "", ""]
            if "left_out" not in one:
                cells = [timed(one["read_s"]), timed(one["draw_s"]), timed(one["peak"], 1 / MB)]
                cells.append(f"{one['shapes']:,}")
            name = f"{who} {one.get('version', '')}".strip()
            rows.append([f"{r['about']}, {size} MB", name, *cells])
        if "ratio" in figures:
            parts = [timed(figures["ratio"][part]) for part in ("read_s", "draw_s", "peak")]
            rows.append(["", "datumaro / temzoo, in turns", *parts, ""])
    head = "CVAT export | by | read, s | draw, s | memory, MB | shapes"
    return [*table(head, rows), *by(found)]


def limits(found: Records) -> list[str]:
    rows = []
    for r in found:
        one = r["figures"]
        data = f"{one.get('side', 0):,} px, {one.get('instances', 0):,} instances"
        if "file" in one:
            data = f"{one['file'] / MB:.0f} MB, {one['shapes']:,} shapes, {one['points']:,} points"
        cells = [f"{one[part] / GB:.2f}" for part in ("peak", "baseline", "input", "used")]
        over = "" if one["used"] <= one["bound"] else ", **broken**"
        rows.append([command(r), r["about"], data, *cells, f"{one['bound'] / GB:.0f}{over}"])
    head = "command | what | data | peak, GB | baseline, GB | image, GB | bounded, GB | bound, GB"
    return table(head, rows)


def startup(found: Records) -> list[str]:
    rows = [[name, timed(figure)] for r in found for name, figure in r["figures"].items()]
    return [*table("fresh process | seconds", rows), *by(found)]


def export(found: Records) -> list[str]:
    rows = []
    for r in found:
        one, sizes = r["figures"], r["figures"]["bytes"]
        seconds = [f"{one[key]:.0f}" for key in ("seconds", "cpu_seconds", "check_seconds")]
        values = [sizes[key] for key in ("model", "export", "graph", "onnx")]
        cells = ["none" if size is None else f"{size / MB:.1f}" for size in values]
        rows.append([r["name"], *seconds, *cells])
    head = "model | export, s | CPU, s | check, s | weights, MB | export, MB | graph, MB | ONNX, MB"
    return table(head, rows)


def engines(found: Records) -> list[str]:
    lines = []
    for r in found:
        rows = []
        for cell in r["figures"]["cells"]:
            if "left_out" in cell:
                told = [f"left out: {' '.join(cell['left_out'].split())[-LONGEST:]}", "", ""]
            else:
                apart = f"{cell['difference']:.1e}" if "difference" in cell else "–"
                told = [timed(cell["images_per_s"]), timed(cell.get("ratio")), apart]
            rows.append([cell["engine"], cell["batch"], *told])
        head = "engine | batch | images/s | ratio to PyTorch eager | difference"
        threads = r["settings"]["threads"]
        lines += [f"{r['about']}, {threads} threads: {command(r)}.", "", *table(head, rows), ""]
    return lines[:-1]


def gpu_speed(found: Records) -> list[str]:
    rows = [
        [row[key] for key in ("what", "precision", "batch", "engine")]
        + [timed(row["images_per_s"]), timed(row["ratio"])]
        + ["–" if row["difference"] is None else f"{row['difference']:.1e}"]
        for r in found
        for row in r["figures"]["rows"]
    ]
    head = "what | precision | batch | library | images/s | ratio | difference"
    return [*table(head, rows), *by(found)]


def gpu_train(found: Records) -> list[str]:
    rows, notes = [], []
    for r in found:
        figures, how = r["figures"], r["settings"]
        steps = f"{figures['steps']:,}, of {how['batch']} of {how['crop']} px"
        seconds = [f"{figures[key]:.0f}" for key in ("compiling_s", "seconds")]
        ious = ", ".join(f"{row['iou']:.3f}" for row in figures["history"])
        rows.append([r["name"], r["about"], steps, *seconds, ious, command(r)])
        if "note" in r["training"]:
            notes += ["", f"`{r['name']}`: {r['training']['note']}."]
    head = "recipe | what | steps, of so many crops | compiling, s | learning, s | IoU of tiles"
    return [*table(f"{head} | command", rows), *notes]


TABLES = {
    "precision": precision,
    "batch-one": batch_one,
    "throughput": throughput,
    "memory": memory,
    "training": training,
    "pipeline": pipeline,
    "labels": labels,
    "limits": limits,
    "startup": startup,
    "export": export,
    "engines": engines,
    "gpu-speed": gpu_speed,
    "gpu-train": gpu_train,
}
