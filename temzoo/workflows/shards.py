"""A job array: several jobs at once, each of which predicts its part of the images into one folder.

The images are dealt out like cards, so that the parts take about as long when large ones lie side
by side. All jobs must see the same list of images.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from temzoo.micrographs.listing import is_folder_of_images

Shard = tuple[int, int]  # which part, from 1, and of how many
Item = TypeVar("Item")


def shard_of(text: str) -> Shard:
    """ "3/16" as (3, 16).

    Raises:
        ValueError: it is no such text, or there is no such part.
    """
    if not re.fullmatch(r"[0-9]{1,9}/[0-9]{1,9}", text):
        raise _wrong(text)
    number, _, count = text.partition("/")
    return checked((int(number), int(count)))


def checked(shard: Shard) -> Shard:
    """The shard, if there is such a part."""
    number, count = shard
    if not 1 <= number <= count:
        raise _wrong(f"{number}/{count}")
    return shard


def _wrong(received: str) -> ValueError:
    return ValueError(
        "A shard must be NUMBER/COUNT, with a number from 1 to the count. Received: "
        f"{received!r}. Use 3/16 for the third of sixteen parts."
    )


def require_alone(
    places: Sequence[Path], out: str | Path, formats: Sequence[str], cluster: str | None
) -> None:
    """Refuses what the jobs of an array would do in each other's way.

    Raises:
        ValueError: results would lie among the images, of which each job would see others; or what
            is made of all images was asked for; or a cluster too.
    """
    if cluster is not None:
        raise ValueError(
            "A job array and a cluster both share the work. Received: a shard and"
            f" cluster={cluster!r}. Leave one out."
        )
    if formats:
        raise ValueError(
            "Label files are made of all images, by a last call without --shard. Received:"
            f" a shard and {formats[0]!r}. Give --format there."
        )
    for place in places:
        if is_folder_of_images(place) and Path(out).resolve().is_relative_to(place.resolve()):
            raise ValueError(
                "With --shard, results must lie outside of the images' folder. Received: --out"
                f" {out} in {place}. Choose another --out."
            )


def part_of(items: Sequence[Item], shard: Shard) -> list[Item]:
    """Every COUNT-th of the items, from the NUMBER-th on."""
    number, count = shard
    return list(items[number - 1 :: count])


def name_of(shard: Shard) -> str:
    """ "3-of-16", as in file names."""
    return f"{shard[0]}-of-{shard[1]}"
