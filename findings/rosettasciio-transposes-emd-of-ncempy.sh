#!/bin/sh
# RosettaSciIO transposes an image that ncempy wrote as EMD: 3 rows of 5 come back as 5 rows of 3.
#
# Guess: both read and write Berkeley's EMD 0.2, so the array that one stores is the array that the other
#     gives, with its axes in the order dim1, dim2.
# Seen, RosettaSciIO 0.15.0 and ncempy 1.16: the file holds "data" of (3, 5), dim1 of 3 values and dim2 of
#     5. RosettaSciIO gives (5, 3), with the axes turned likewise, so that each axis keeps its scale and
#     nothing looks wrong; ncempy gives (3, 5). RosettaSciIO's own files, written turned, come back as
#     they were.
# So: look at who wrote an EMD file. Axes that ncempy names by their place ("dim1", "dim2") belong to an
#     array that is not turned.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet rosettasciio==0.15.0 ncempy==1.16 h5py==3.16.0 numpy==2.4.6 \
    scipy==1.17.1
cat > "$folder/read.py" <<'PYTHON'
import sys

import h5py
import numpy as np
from ncempy.io import emd
from rsciio.emd import file_reader, file_writer

path, own = f"{sys.argv[1]}/image.emd", f"{sys.argv[1]}/own.emd"
stored = np.arange(15, dtype=np.uint16).reshape(3, 5)
dims = emd.defaultDims(stored, pixel_size=(2.0, 0.5), pixel_unit=("nm", "nm"))
with emd.fileEMD(path, readonly=False) as file:
    file.put_emdgroup("image", stored, dims)
with h5py.File(path) as file:
    group = file["data/image"]
    shapes = {name: group[name].shape for name in ("data", "dim1", "dim2")}
    print("stored:", shapes)
    assert shapes == {"data": (3, 5), "dim1": (3,), "dim2": (5,)}
with emd.fileEMD(path) as file:
    again, _ = file.get_emdgroup(0)
print("ncempy:", again.shape)
assert np.array_equal(again, stored)
(signal,) = file_reader(path)
axes = [(axis["name"], axis["size"], axis["scale"]) for axis in signal["axes"]]
print("RosettaSciIO:", signal["data"].shape, axes)
assert np.array_equal(signal["data"], stored.T)
assert axes == [("dim2", 5, 0.5), ("dim1", 3, 2.0)]
file_writer(own, signal)
(back,) = file_reader(own)
print("RosettaSciIO's own file:", back["data"].shape)
assert np.array_equal(back["data"], signal["data"])
PYTHON
"$folder/env/bin/python" "$folder/read.py" "$folder"
