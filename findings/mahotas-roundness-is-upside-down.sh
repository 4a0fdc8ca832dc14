#!/bin/sh
# mahotas: the roundness of a disc is 0.79, of a square 1.03, of a needle 1.38 and of a ring 2.5.
#
# Guess: roundness() is 1 for a disc and less for all else, as 4 pi area / perimeter².
# Seen, mahotas 1.4.19: it is perimeter² / (4 pi area), so that it grows with every departure from the
#     disc; and its perimeter is the number of pixels at the rim, which makes a disc "rounder" than 1
#     on that scale, by 20 % at any size, and a square of 10 px almost exactly 1. Its documentation says
#     "Roundness" alone.
# So: a filter such as roundness > 0.8 keeps needles and drops discs. Take scikit-image's area and
#     perimeter_crofton, and 4 pi area / perimeter².
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet mahotas==1.4.19 numpy==2.4.6
cat > "$folder/measure.py" <<'PYTHON'
import mahotas
import numpy as np

rows, cols = np.mgrid[:120, :160] + 0.5
down, along = rows - 60, cols - 80
angle = np.deg2rad(30)
long, short = along * np.cos(angle) + down * np.sin(angle), down * np.cos(angle) - along * np.sin(angle)
away = np.hypot(down, along)
SHAPES = {
    "disc of 20 px": away < 10,
    "disc of 80 px": away < 40,
    "square of 10 px": (np.abs(down) < 5) & (np.abs(along) < 5),
    "ellipse of 80 x 20 px": (long / 40) ** 2 + (short / 10) ** 2 < 1,
    "ring of 40 and 20 px": (away < 20) & (away >= 10),
}
found = {name: mahotas.features.roundness(mask) for name, mask in SHAPES.items()}
for name, value in found.items():
    print(f"{name}: {value:.2f}")
small, large, square, needle, ring = found.values()
assert 0.75 < small < 0.85 and 0.75 < large < 0.85
assert 1 < square < 1.05 < needle < ring
PYTHON
"$folder/env/bin/python" "$folder/measure.py"
