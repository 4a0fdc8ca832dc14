#!/bin/sh
# DIPlib: a disc that the image's border cuts in half has a roundness of 1, the whole one 0.99.
#
# Guess: the particle is what there is of it, so that half a disc of 20 px in radius has a perimeter of
#     103 px and a roundness, 4 pi area / perimeter², of 0.75.
# Seen, DIPlib 3.6.1: 64 px and 1. The part of the outline that lies on the border of the image is not
#     counted, but the area is that of the half; 4 pi area / perimeter² would be 1.95, and is cut to 1. With
#     one pixel of ground between particle and border it is 102 px and 0.76.
# So: leave out particles at the border (dip.EdgeObjectsRemove) before their roundness is looked at, or pad
#     the label image by a pixel.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet diplib==3.6.1 numpy==2.4.6
cat > "$folder/measure.py" <<'PYTHON'
import numpy as np
import diplib

rows, cols = np.mgrid[:60, :140] + 0.5


def measured(numbers):
    names = ["Size", "Perimeter", "Roundness", "Feret"]
    table = diplib.MeasurementTool.Measure(diplib.Image(numbers.astype(np.uint32)), None, names)
    size, perimeter, roundness, feret = (float(table[name][1][0]) for name in names)
    print(f"area {size:.0f}, perimeter {perimeter:.1f}, roundness {roundness:.2f}, Feret {feret:.1f}")
    return size, perimeter, roundness


def disc(row):
    return (rows - row) ** 2 + (cols - 70) ** 2 < 20**2


half = disc(0)
print("whole:", end=" ")
assert measured(disc(30))[2] > 0.98
print("half, at the border:", end=" ")
size, perimeter, roundness = measured(half)
assert size == 632 and perimeter < 65 and roundness == 1
print("half, padded by a pixel:", end=" ")
size, perimeter, roundness = measured(np.pad(half, 1))
assert size == 632 and perimeter > 95 and roundness < 0.85
PYTHON
"$folder/env/bin/python" "$folder/measure.py"
