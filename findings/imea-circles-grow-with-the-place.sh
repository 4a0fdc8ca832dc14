#!/bin/sh
# imea: a disc of 40 px has an inscribing circle of 88 px, and of 187 px where it lies further down.
#
# Guess: the diameters of a shape do not depend on where it lies in the image, and an inscribed circle is
#     not larger than a circumscribed one of another method.
# Seen, imea 0.3.5 with scikit-image 0.26.0: shape_measurements_2d() measures from the centroid in the
#     image to the outline in a cut-out of it. "diameter_inscribing_circle" and
#     "diameter_circumscribing_circle" are 88 and 168 px for a disc of 40 px at row 60, column 70, and 187
#     and 266 px at 100, 100. The other diameters are 39 to 40 px at both.
# So: leave the two columns out, or cut each particle out of the image first; "diameter_min_enclosing_circle"
#     and "diameter_max_inclosing_circle" are what one looks for.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet imea==0.3.5 scikit-image==0.26.0 opencv-python==5.0.0.93 \
    pandas==3.1.1 scipy==1.17.1 numpy==2.4.6
cat > "$folder/measure.py" <<'PYTHON'
import imea
import numpy as np

rows, cols = np.mgrid[:200, :200] + 0.5
COLUMNS = [
    "diameter_inscribing_circle",
    "diameter_circumscribing_circle",
    "diameter_max_inclosing_circle",
    "diameter_min_enclosing_circle",
    "diameter_equal_area",
]
found = {}
for place in ((60, 70), (100, 100)):
    disc = (rows - place[0]) ** 2 + (cols - place[1]) ** 2 < 20**2
    table = imea.shape_measurements_2d(disc, spatial_resolution_xy=1.0)
    table = table[0] if isinstance(table, tuple) else table
    found[place] = [float(table[column].iloc[0]) for column in COLUMNS]
    print(place, {name: round(value, 1) for name, value in zip(COLUMNS, found[place])})
for *circles, inner, outer, area in found.values():
    assert all(38 < diameter < 41 for diameter in (inner, outer, area))
    assert min(circles) > 80
assert found[100, 100][0] > found[60, 70][0] + 90
PYTHON
"$folder/env/bin/python" -W ignore "$folder/measure.py"
