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


def main(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Of each half: counts of all verdicts, what became of each image, and seconds an image."""
    folder = arguments.data_folder / "emps" / "images"
    temzoo.read_scale_bar(min(folder.glob("*.png")))  # loads the networks
    table = pd.read_csv(TRUTH, dtype=str, keep_default_na=False)
    with_bar, without = ("read", "refused", "wrong"), ("none", "false")
    for half in ("tune", "judge"):
        images, seconds = {}, []
        for row in table[table["half"] == half].to_dict("records"):
            pixels = temzoo.load_micrograph(folder / f"{row['name']}.png").pixels
            read, took = timed(partial(temzoo.read_scale_bar, pixels))
            seconds.append(took)
            images[row["name"]] = verdict(row, read)
        figures = {kind: [*images.values()].count(kind) for kind in (*with_bar, *without)}
        for name, kinds in (("with_bar", with_bar), ("without", without)):
            figures[name] = sum(figures[kind] for kind in kinds)
        figures |= {"seconds": spread(seconds), "images": images}
        yield {"name": half, "about": f"scale bars of EMPS, half {half}", "figures": figures}
