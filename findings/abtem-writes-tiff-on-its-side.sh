#!/bin/sh
# abTEM's to_tiff(): an image that show() draws 6 Å wide and 2.5 Å high is 5 pixels wide and 3 high.
#
# Guess: the TIFF shows what show() shows, and has its calibration.
# Seen, abTEM 1.0.11: its arrays hold x first. show() draws rows as columns, with y upwards; to_tiff() writes
#     the array as it lies, so that other programs show it mirrored at its diagonal, which square images
#     do not betray. The resolution is 1 pixel of no unit; the sampling stands in the description alone, as
#     abTEM's own JSON.
# So: transpose it (array.T[::-1] is as show() draws it) before anisotropic sampling, scan directions,
#     orientations or a comparison with a measured micrograph matter, and set the pixel size by hand.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet abtem==1.0.11 tifffile==2026.3.3 numpy==2.4.6
cat > "$folder/write.py" <<'PYTHON'
import sys
import warnings

warnings.simplefilter("ignore")
import matplotlib

matplotlib.use("Agg")
import abtem
import matplotlib.pyplot as plt
import numpy as np
import tifffile

path = f"{sys.argv[1]}/a.tif"
array = np.arange(15, dtype=np.float32).reshape(3, 5)
image = abtem.measurements.Images(array, sampling=(2.0, 0.5))
image.show()
(drawn,) = [each for axes in plt.gcf().axes for each in axes.images]
left, right, bottom, top = drawn.get_extent()
shown = np.asarray(drawn.get_array())
print(f"shown: {right - left:g} x {top - bottom:g} Å (width x height), {shown.shape}, {drawn.origin}")
assert (right - left, top - bottom) == (6.0, 2.5)
assert np.array_equal(shown, array.T) and drawn.origin == "lower"
image.to_tiff(path)
with tifffile.TiffFile(path) as tiff:
    page = tiff.pages.first
    written, tags = page.asarray(), page.tags
    resolution = tags[282].value, tags[283].value, int(tags[296].value)
print(f"TIFF: {written.shape} (rows, columns), resolution {resolution}")
assert np.array_equal(written, array)
assert resolution == ((1, 1), (1, 1), 1)
PYTHON
"$folder/env/bin/python" "$folder/write.py" "$folder"
