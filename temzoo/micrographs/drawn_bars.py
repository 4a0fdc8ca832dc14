"""Scale bars by their pixels alone: where one may be, before any text is read.

A bar was drawn after the exposure: its rows are flat, all begin and end at the same columns, and
what lies above and below is all brighter or all darker. Three kinds more: a line with a tick at
each end, a line broken by its own text ("|-- 5 µm --|"), and the ruler of eleven ticks that
Hitachi's microscopes write.

Positions are (row, col), continuous: pixel (0, 0) covers [0, 1) × [0, 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

Box = tuple[int, int, int, int]
# All in grey levels of 255: the largest step between neighbours inside a bar; the least from a bar
# to what is around it.
FLAT = 12
CONTRAST = 25
AROUND = 0.85  # of a bar's length, along which it differs so much from what is above and below
SHORTEST = 14  # px
SLIMMEST = 2.4  # length / height
THICKEST = 0.08  # of the image's height
NOISE = 4  # standard deviation along a bar
BORDER = 4  # px beyond a bar's end; nearer to the border it may be cut off
BLUR = 5  # px over which an edge may be smeared
RULER_TICKS, MISSING = 11, 2  # of a ruler; of them may be hidden
# Of the bar's contrast: from here on a rim of the other polarity is a drawn outline, and no halo
# of sharpening or compression.
OUTLINE = 0.35
DOUBT = 0.06  # of its length, between the middles of its outline and its inner edges


@dataclass(frozen=True)
class Bar:
    """A candidate.

    Attributes:
        top, bottom: rows, half-open.
        left, right: its ends, px; right - left is what its text names.
        level: its grey value.
        sign: 1: brighter than what is around it; -1: darker.
        framed: it has an outline, or a tick at both ends: what lies beside it and ends alike is a
            part of it.
        whole: both its ends are alike, and certain within 3 %. What has one tick is half a line.
        gap: columns (first, past the last) between its two parts, where the text must be; or None.
    """

    top: int
    bottom: int
    left: float
    right: float
    level: float
    sign: int
    framed: bool = False
    whole: bool = True
    gap: tuple[float, float] | None = None

    @property
    def length(self) -> float:
        return self.right - self.left

    @property
    def box(self) -> Box:
        """(top, left, bottom, right), half-open."""
        return self.top, int(self.left), self.bottom, int(np.ceil(self.right))


def find_bars(grey: np.ndarray) -> list[Bar]:
    """All candidates of an image, (H, W) float32 of 0 to 255; from left to right."""
    if min(grey.shape) < SHORTEST + 2 * BLUR:
        return []
    closed = filter(None, (_closed(grey, bar) for bar in _rectangles(grey)))
    layers = _layers_merged(_with_ends(grey, bar) for bar in closed)
    drawn = [bar for bar in layers if _is_drawn(grey, bar)]
    single = [bar for bar in drawn if not any(_is_part(bar, other) for other in drawn)]
    single = list(_chained(single))
    paired = list(_broken_by_text(single))
    parts = {id(part) for pair in paired for part in pair}
    apart = [each for each in single if id(each) not in parts]
    joined = [
        replace(one, right=two.right, gap=(one.right, two.left), whole=True) for one, two in paired
    ]
    return sorted([*apart, *joined, *find_rulers(grey)], key=lambda bar: bar.left)


def _rectangles(grey: np.ndarray) -> Iterator[Bar]:
    """Flat runs of columns that repeat from row to row."""
    height = grey.shape[0]
    open_ones: dict[tuple[int, int], list] = {}
    last_row = -1
    finished: list[list] = []
    for row, start, end, level in _flat_runs(grey):
        if row != last_row:
            finished += [each for each in open_ones.values() if each[1] < row]
            open_ones = {key: each for key, each in open_ones.items() if each[1] == row}
            last_row = row
        near = ((start + i, end + j) for i in (0, -1, 1) for j in (0, -1, 1))
        key = next(
            (k for k in near if k in open_ones and abs(open_ones[k][4] - level) <= FLAT), None
        )
        top = row if key is None else open_ones.pop(key)[0]
        if (start, end) in open_ones:  # of another level
            finished.append(open_ones[start, end])
        open_ones[start, end] = [top, row + 1, start, end, level]
    for top, bottom, start, end, level in (*finished, *open_ones.values()):
        tall = bottom - top
        if tall <= max(THICKEST * height, 12) and end - start >= SLIMMEST * tall:
            yield Bar(top, bottom, start, end, level, 0)


def _flat_runs(grey: np.ndarray) -> Iterator[tuple[int, int, int, float]]:
    """(row, first column, past the last, level) of flat runs that stand out at both ends."""
    width = grey.shape[1]
    flat = np.zeros((grey.shape[0], width + 1), bool)
    np.less_equal(np.abs(np.diff(grey, axis=1)), FLAT, out=flat[:, 1:width])
    change = np.diff(flat.astype(np.int8), axis=1)  # 1 at a run's first pixel, -1 at its last
    rows, starts = np.nonzero(change == 1)
    ends = np.nonzero(change == -1)[1] + 1
    long = (ends - starts >= SHORTEST) & (starts >= BORDER) & (ends <= width - BORDER)
    rows, starts, ends = rows[long], starts[long], ends[long]
    levels = grey[rows, (starts + ends) // 2]
    before = [np.abs(grey[rows, np.maximum(starts - k, 0)] - levels) for k in range(1, BLUR + 1)]
    after = [np.abs(grey[rows, np.minimum(ends + k, width - 1)] - levels) for k in range(BLUR)]
    apart = np.minimum(np.max(before, axis=0), np.max(after, axis=0)) >= CONTRAST
    found = (each[apart].tolist() for each in (rows, starts, ends, levels))
    yield from zip(*found, strict=True)


def _closed(grey: np.ndarray, bar: Bar) -> Bar | None:
    """The bar with its sign, if all around is darker than it, or all brighter; else None."""
    cols = slice(int(bar.left) - 2, int(bar.right) + 2)  # to the ends, where the blur begins
    level = float(np.median(grey[bar.top : bar.bottom, cols]))
    above = grey[max(bar.top - BLUR, 0) : bar.top, cols]
    below = grey[bar.bottom : bar.bottom + BLUR, cols]
    strips = [strip for strip in (above, below) if len(strip)]
    for sign in (1, -1):
        steps = [sign * level - (sign * strip).min(axis=0) for strip in strips]
        # Most candidates of an exposure end here, before anything slower is asked of them.
        shares = [np.count_nonzero(step >= CONTRAST) / step.size for step in steps]
        if not steps or min(shares) < AROUND:
            continue
        least = max(CONTRAST, 0.2 * float(np.median(np.concatenate(steps))))
        apart = [step >= least for step in steps]
        # At an end only a tick may go on, above and below; a label goes on to one side alone.
        corners = [[each[part] for each in apart] for part in (slice(6), slice(-6, None))]
        ends = all(np.all(two) or np.array_equal(*two) for two in corners if len(two) == 2)
        if len(apart) == 1:
            ends = np.all(corners)
        if ends and min(each.mean() for each in apart) >= AROUND:
            return replace(bar, level=level, sign=sign)
    return None


def _is_drawn(grey: np.ndarray, bar: Bar) -> bool:
    """Whether its flattest row is flatter than an exposure, and a single row entirely so."""
    edge = 6 if bar.length >= 2 * SHORTEST else 3  # px of blur, and of ticks
    core = grey[bar.top : bar.bottom, int(bar.left) + edge : int(bar.right) - edge + 1]
    noise = core.std(axis=1).min() if core.shape[1] else np.inf
    return bool(noise <= (NOISE if len(core) > 1 else 1))


def _is_part(bar: Bar, other: Bar) -> bool:
    """Whether a bar is a part of another's frame or blurred edge, or the ground beside it."""
    between = max(bar.top - other.bottom, other.top - bar.bottom)
    if bar is other or between > 2:
        return False
    if other.framed and not bar.framed and _same_ends(bar, other, 6):
        return True
    thinner = bar.bottom - bar.top < other.bottom - other.top
    within = other.left - 2 <= bar.left and bar.right <= other.right + 2
    ground = between >= 0 and not bar.framed
    return thinner and within and (bar.sign == other.sign or ground)


def _with_ends(grey: np.ndarray, bar: Bar) -> Bar:
    """Its ends: half way to the outside, the inner half of an outline, or the middle of a tick."""
    core = grey[bar.top : bar.bottom]
    if len(core) > 2:
        core = core[1:-1]
    profile = bar.sign * (core.mean(axis=0) - bar.level)  # 0 in the bar, negative around it
    places = ((int(bar.left), -1), (int(bar.right) - 1, 1))
    ticks = [_tick(grey, bar, *place) for place in places]
    cols = slice(int(bar.left), int(bar.right))
    across = bar.sign * (grey[:, cols].mean(axis=1) - bar.level)
    rims = [_rim(profile, *place) for place in places]
    above_and_below = _rim(across, bar.top, -1), _rim(across, bar.bottom - 1, 1)
    outlined = None not in (*rims, *above_and_below)
    ends = [_half_way(profile, *place, outlined) for place in places]
    doubt = 0.0
    if outlined:  # nobody says whether the outline counts: half of it does
        doubt = abs(rims[1] - rims[0] - ends[1] + ends[0]) / (rims[1] - rims[0])
        ends = [(rim + end) / 2 for rim, end in zip(rims, ends, strict=True)]
    left, right = (end if tick is None else tick for tick, end in zip(ticks, ends, strict=True))
    whole = sum(tick is None for tick in ticks) != 1 and doubt <= DOUBT
    framed = outlined or None not in ticks
    return replace(bar, left=left, right=right, framed=framed, whole=whole)


def _outside(profile: np.ndarray, last: int, step: int) -> np.ndarray:
    """The profile from a bar's last flat column outwards, as far as there is an image."""
    cols = last + step * np.arange(2 * BLUR)
    return profile[cols[(cols >= 0) & (cols < len(profile))]]


def _half_way(profile: np.ndarray, last: int, step: int, to_the_rim: bool) -> float:
    """Where the profile is half way to what is outside the bar, or to its outline."""
    outside = _outside(profile, last, step)
    base = outside[: BLUR + 1].min() if to_the_rim else np.median(outside[BLUR - 1 : BLUR + 2])
    half = min(float(base), -CONTRAST) / 2
    k = int(np.argmax(outside < half))
    if k == 0:  # no end here: ``_flat_runs`` saw it in another row
        return last + 0.5 + step * 0.5
    return last + 0.5 + step * (k - 1 + (outside[k - 1] - half) / (outside[k - 1] - outside[k]))


def _rim(profile: np.ndarray, last: int, step: int) -> float | None:
    """The middle of an outline, which stands out more than what is beyond it; or None."""
    outside = _outside(profile, last, step)
    if len(outside) < BLUR + 3:
        return None
    lowest = int(np.argmin(outside[: BLUR + 1]))
    beyond = float(np.median(outside[lowest + 2 : lowest + 5]))
    if beyond > 0 or outside[lowest] > min((1 + OUTLINE) * beyond, beyond - CONTRAST):
        return None
    rim = np.flatnonzero(outside[: lowest + 3] <= (outside[lowest] + beyond) / 2)
    return last + 0.5 + step * float(rim.mean())


def _layers_merged(bars: Iterable[Bar]) -> Iterator[Bar]:
    """One bar of the rows that have other grey values, as its blurred first and last ones."""
    layers: list[Bar] = []
    for bar in sorted(bars, key=lambda bar: -bar.sign * bar.level):
        same = next(
            (
                k
                for k, each in enumerate(layers)
                if each.sign == bar.sign and _same_ends(bar, each, 2)
            ),
            None,
        )
        if same is None:
            layers.append(bar)
        else:
            other = layers[same]
            rows = min(bar.top, other.top), max(bar.bottom, other.bottom)
            layers[same] = replace(other, top=rows[0], bottom=rows[1])
    yield from layers


def _same_ends(one: Bar, two: Bar, margin: float) -> bool:
    """Whether two bars lie on or beside each other and end alike, within so many px or 2 %."""
    near = one.top <= two.bottom + 2 and two.top <= one.bottom + 2
    apart = max(abs(one.left - two.left), abs(one.right - two.right))
    return near and apart <= max(margin, 0.02 * one.length)


def _tick(grey: np.ndarray, bar: Bar, last: int, step: int) -> float | None:
    """The middle of a tick at an end, which stands out on both sides of the bar; or None."""
    cols = np.sort(last + step * np.arange(-3, 8))
    cols = cols[(cols >= 0) & (cols < grey.shape[1])]
    rows = np.array([bar.top - 4, bar.top - 3, bar.bottom + 2, bar.bottom + 3])
    if rows[0] < 0 or rows[-1] >= grey.shape[0] or bar.bottom - bar.top > 8:
        return None
    inside = last - step * np.arange(8, 14)  # what is above and below the bar, away from its end
    around = np.median(grey[np.ix_(rows, np.clip(inside, 0, grey.shape[1] - 1))], axis=1)
    height = bar.sign * (grey[np.ix_(rows, cols)] - around[:, None])
    high = height >= 0.5 * np.abs(bar.level - around)[:, None]
    stem = high.all(axis=0)
    if not 1 <= stem.sum() <= 4 or stem[0] or stem[-1]:
        return None
    return float(cols[stem].mean() + 0.5)


def _chained(bars: Iterable[Bar]) -> Iterator[Bar]:
    """One bar of black and white pieces in turn, end to end; two pieces alone are none."""
    left = sorted(bars, key=lambda bar: bar.left)
    while left:
        chain = [left.pop(0)]
        while after := next((bar for bar in left if _adjoins(chain[-1], bar)), None):
            chain.append(after)
            left.remove(after)
        if len(chain) != 2:
            rows = min(bar.top for bar in chain), max(bar.bottom for bar in chain)
            yield replace(chain[0], top=rows[0], bottom=rows[1], right=chain[-1].right)


def _adjoins(one: Bar, two: Bar) -> bool:
    rows = min(one.bottom, two.bottom) - max(one.top, two.top)
    alike = rows >= 0.5 * max(one.bottom - one.top, two.bottom - two.top)
    return alike and one.sign != two.sign and abs(two.left - one.right) <= 3


def _broken_by_text(bars: Iterable[Bar]) -> Iterator[tuple[Bar, Bar]]:
    """Two thin lines on one row, alike and with room for a text between them."""
    thin = sorted((bar for bar in bars if bar.bottom - bar.top <= 5), key=lambda bar: bar.left)
    for k, one in enumerate(thin):
        for two in thin[k + 1 :]:
            gap = two.left - one.right
            alike = abs(one.length - two.length) <= 0.25 * max(one.length, two.length)
            level = abs(one.level - two.level) <= 3 * FLAT and one.sign == two.sign
            rows = abs(one.top - two.top) <= 1 and abs(one.bottom - two.bottom) <= 1
            if rows and level and alike and 10 <= gap <= 3 * (one.length + two.length):
                yield one, two
                break


def find_rulers(grey: np.ndarray) -> list[Bar]:
    """Rows of exactly eleven bright ticks on one baseline, evenly spaced: ten divisions.

    A longer or shorter row is none: a part of a ruler has another length than its text says.
    """
    narrow = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, np.ones((1, 9), np.uint8))
    marks = (narrow > 2 * CONTRAST).astype(np.uint8)
    _, _, boxes, centres = cv2.connectedComponentsWithStats(marks)
    _, top, wide, tall, area = boxes.T
    slim = (
        (wide <= 6)
        & (tall >= 3)
        & (tall <= 40)
        & (tall >= 1.3 * wide)
        & (area >= 0.6 * wide * tall)
    )
    ends, tops, cols = (top + tall)[slim], top[slim], centres[slim, 0] + 0.5
    for row in np.flatnonzero(np.bincount(ends) >= RULER_TICKS // 2):
        near = np.abs(ends - row) <= 1
        enough = RULER_TICKS - MISSING <= near.sum() <= 60
        ruler = _evenly_spaced(np.sort(cols[near])) if enough else None
        if ruler is not None:
            rows = int(np.median(tops[near])), int(row)
            return [Bar(*rows, *ruler, 255.0, 1)]
    return []


def _evenly_spaced(cols: np.ndarray) -> tuple[float, float] | None:
    """First and last of eleven evenly spaced columns, where no twelfth goes on; or None.

    Up to ``MISSING`` between them may be: a bright particle hides a tick.
    """
    one, other = np.triu_indices(len(cols))
    first, last = cols[one], cols[other]
    wide = last >= first + 4 * (RULER_TICKS - 1)
    first, last = first[wide], last[wide]
    step = (last - first) / (RULER_TICKS - 1)
    grid = first[:, None] + step[:, None] * np.arange(-1, RULER_TICKS + 1)
    after = np.searchsorted(cols, grid)
    away = [np.abs(cols.take(k, mode="clip") - grid) for k in (after - 1, after)]
    there = np.minimum(*away) <= np.maximum(1.0, 0.06 * step)[:, None]
    ticks = there[:, 1:-1].sum(axis=1) >= RULER_TICKS - MISSING
    found = np.flatnonzero(ticks & ~there[:, [0, -1]].any(axis=1))
    return (float(first[found[0]]), float(last[found[0]])) if len(found) else None
