#!/bin/sh
# An outline of ImageJ with subpixel vertices: read-roi gives whole pixels as soon as it has labels shown.
#
# Guess: read-roi, which gives fractions for such an outline, gives them for all.
# Seen, read-roi 1.6.0 and roifile 2026.2.10: with the option "subpixel resolution" alone both give the
#     vertices as stored. With any further option beside it, such as the labels of an overlay, read-roi
#     gives the whole numbers that ImageJ keeps for old programs, without a word: it compares the options
#     with the one, of which there are several in one number. Of 200 discs of 6 px in diameter, areas are
#     0.93 to 1.09 of what was drawn.
# So: read regions with roifile, or compare read-roi's type of numbers: integers were rounded.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet read-roi==1.6.0 roifile==2026.2.10 numpy==2.4.6
cat > "$folder/read.py" <<'PYTHON'
import sys

import numpy as np
import read_roi
import roifile

rng, path = np.random.default_rng(0), f"{sys.argv[1]}/a.roi"
turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
SUBPIXEL, LABELS = roifile.ROI_OPTIONS.SUB_PIXEL_RESOLUTION, roifile.ROI_OPTIONS.OVERLAY_LABELS


def area(points):
    x, y = points.T
    return abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2


def measured(ring, options):
    """Vertices by both readers, of the same file."""
    roi = roifile.ImagejRoi.frompoints(ring)
    roi.options = options
    roi.tofile(path)
    (found,) = read_roi.read_roi_file(path).values()
    by_roifile = roifile.ImagejRoi.fromfile(path).coordinates()
    return np.stack([found["x"], found["y"]], axis=1).astype(float), by_roifile.astype(float)


for name, options in {"alone": SUBPIXEL, "and labels": SUBPIXEL | LABELS}.items():
    ratios, shifts = [], []
    for x, y in rng.uniform(20, 40, (200, 2)):
        ring = np.stack([x + 3 * np.cos(turn), y + 3 * np.sin(turn)], axis=1).astype(np.float32)
        one, other = measured(ring, options)
        assert np.array_equal(other, ring)
        ratios.append(area(one) / area(ring.astype(float)))
        shifts.append(np.abs(one - ring).max())
    low, high, shift = min(ratios), max(ratios), max(shifts)
    print(f"subpixel {name}: area {low:.3f} to {high:.3f}, vertices off by up to {shift:.2f} px")
    if options == SUBPIXEL:
        assert shift == 0
    else:
        assert low < 0.95 and high > 1.05 and 0.4 < shift < 0.51
PYTHON
"$folder/env/bin/python" "$folder/read.py" "$folder"
