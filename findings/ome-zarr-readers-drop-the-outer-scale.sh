#!/bin/sh
# OME-Zarr with a scale for all levels: pixels of 0.5 nm are 1 nm in ome-zarr and ngff-zarr.
#
# Guess: readers of OME-Zarr multiply the two scales that its versions 0.4 and 0.5 know: each level's, and
#     that of "multiscales", which is applied to all levels after it.
# Seen, ome-zarr 0.18.0 (its Reader) and ngff-zarr 0.50.0 (from_ngff_zarr), which agree: both give each
#     level's scale alone, 1 and 2, without a word, in the units of the axes. The file's levels are 0.5 and
#     1 nm. ome-zarr has an issue about it, open since 2022 (number 172).
# So: look into the metadata for "coordinateTransformations" beside "datasets", and multiply. Who writes
#     such files puts the whole scale into each level.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet ome-zarr==0.18.0 ngff-zarr==0.50.0 zarr==3.1.6 numpy==2.4.6
cat > "$folder/read.py" <<'PYTHON'
import logging
import sys
import warnings

import ngff_zarr
import numpy as np
import zarr
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
path = f"{sys.argv[1]}/a.zarr"
image = zarr.open_group(path, mode="w", zarr_format=2)
levels = []
for level, side in enumerate((32, 16)):
    image.create_array(str(level), data=np.zeros((side, side), np.uint16))
    scale = {"type": "scale", "scale": [2.0**level, 2.0**level]}
    levels.append({"path": str(level), "coordinateTransformations": [scale]})
axes = [{"name": name, "type": "space", "unit": "nanometer"} for name in "yx"]
outer = [{"type": "scale", "scale": [0.5, 0.5]}]
told = {"version": "0.4", "axes": axes, "datasets": levels, "coordinateTransformations": outer}
image.attrs["multiscales"] = [told]

(node,) = Reader(parse_url(path))()
by_ome_zarr = [each[0]["scale"] for each in node.metadata["coordinateTransformations"]]
by_ngff_zarr = [[each.scale["y"], each.scale["x"]] for each in ngff_zarr.from_ngff_zarr(path).images]
print("ome-zarr:", by_ome_zarr, "ngff-zarr:", by_ngff_zarr, "right: [[0.5, 0.5], [1.0, 1.0]] nm")
assert by_ome_zarr == by_ngff_zarr == [[1.0, 1.0], [2.0, 2.0]]
PYTHON
"$folder/env/bin/python" "$folder/read.py" "$folder"
