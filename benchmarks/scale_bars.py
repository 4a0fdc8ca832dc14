"""Are scale bars that were drawn into published micrographs read right?

    python -m benchmarks scale-bars   # EMPS; 2 minutes on one core

``benchmarks/scale_bars.csv`` names images of EMPS, one of a publication, in an order drawn before
anything was written: all with a whole bar and its text, and others without. Text and both ends
were read by eye in enlarged crops: the outer edges where the grey value is half way, the middles of
ticks and of outlines. ``left`` and ``right`` are continuous columns, pixel 0 covering [0, 1).

Every second image is of the half "tune", which the reader was written on; "judge" is the other. A
reading is right within 3 % of the true nanometres per pixel. On images without a whole bar, every
reading is false.
"""

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

import temzoo
from benchmarks.timing import spread, timed
from temzoo.micrographs import nm_of

TRUTH = Path(__file__).with_name("scale_bars.csv")
WITHIN = 0.03


def verdict(row: dict[str, str], read: temzoo.ScaleBar | None) -> str:
    """What became of an image: "read", "refused", "wrong", "false" or, of one without, "none"."""
    if not row["text"]:
        return "none" if read is None else "false"
    if read is None:
        return "refused"
    number, unit = row["text"].rstrip("nuµm").strip(), row["text"][-2:]
    true = float(number) * (nm_of(unit) or 0) / (float(row["right"]) - float(row["left"]))
    return "read" if abs(read.nm_per_pixel / true - 1) <= WITHIN else "wrong"


def figures_of(half: str, folder: Path) -> dict[str, Any]:
    """Counts of all verdicts, what became of each image, and seconds an image."""
    table = pd.read_csv(TRUTH, dtype=str, keep_default_na=False)
    images, seconds = {}, []
    for row in table[table["half"] == half].to_dict("records"):
        pixels = temzoo.load_micrograph(folder / f"{row['name']}.png").pixels
        read, took = timed(partial(temzoo.read_scale_bar, pixels))
        seconds.append(took)
        images[row["name"]] = verdict(row, read)
    with_bar, without = ("read", "refused", "wrong"), ("none", "false")
    counts = {kind: [*images.values()].count(kind) for kind in (*with_bar, *without)}
    counts |= {"with_bar": sum(map(counts.get, with_bar)), "without": sum(map(counts.get, without))}
    return {**counts, "seconds": spread(seconds), "images": images}


def main(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    folder = arguments.data_folder / "emps" / "images"
    temzoo.read_scale_bar(next(iter(sorted(folder.glob("*.png")))))  # loads the networks
    for half in ("tune", "judge"):
        told = {"name": half, "about": f"scale bars of EMPS, half {half}"}
        yield told | {"figures": figures_of(half, folder)}
