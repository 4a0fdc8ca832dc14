#!/bin/sh
# napari's own reader and writer of TIFF: neither reads nor writes the size of a pixel.
#
# Guess: a TIFF of ImageJ, 0.5 nm a pixel, opens with that scale, since layers have scale and units; and
#     a labels layer that has both is saved with them.
# Seen, napari 0.9.2: it opens with a scale of 1 pixel, and is saved with a resolution of 1 and no unit;
#     the layer's table of features is not saved either.
# So: take a reader that sets scale and units, and write the TIFF with tifffile, as ImageJ does:
#     resolution=(2, 2), metadata={"unit": "nm"}.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet napari==0.9.2 tifffile==2026.3.3 numpy==2.4.6
cat > "$folder/scale.py" <<'PYTHON'
import sys

import numpy as np
import tifffile
from napari.components import ViewerModel
from napari.layers import Labels
from napari.plugins import _initialize_plugins

_initialize_plugins()
folder = sys.argv[1]
pixels = np.arange(64 * 80, dtype=np.uint16).reshape(64, 80)
how = {"resolution": (2, 2), "metadata": {"unit": "nm"}}
tifffile.imwrite(f"{folder}/a.tif", pixels, imagej=True, **how)
[opened] = ViewerModel().open(f"{folder}/a.tif", plugin="napari")
print("opened:", opened.scale, [str(unit) for unit in opened.units])
assert opened.scale.tolist() == [1, 1]
assert [str(unit) for unit in opened.units] == ["pixel", "pixel"]
layer = Labels((pixels > 3000).astype(np.int32), scale=(0.5, 0.5), units=("nm", "nm"))
[saved] = layer.save(f"{folder}/labels.tif", plugin="napari")
with tifffile.TiffFile(saved) as file:
    tags = file.pages[0].tags
    print("saved:", tags["XResolution"].value, tags["ResolutionUnit"].value.name)
    assert tags["XResolution"].value == (1, 1)
    assert tags["ResolutionUnit"].value.name == "NONE"
    assert "nm" not in file.pages[0].description
PYTHON
"$folder/env/bin/python" "$folder/scale.py" "$folder"
