#!/bin/sh
# A crop written into an MRC file with mrcfile: half as wide, its pixels are said to be twice as large.
#
# Guess: voxel_size is a property of the file, which set_data() leaves alone.
# Seen, mrcfile 1.5.4: the header holds the size of the cell, not of a voxel. Of 8 x 10 pixels of 2 Å, a
#     crop of 4 x 5 that is given to set_data() has pixels of 4 Å, without a warning, and validate() finds
#     nothing wrong. Likewise voxel_size = 2 before the first set_data() does not last: 10 columns of it
#     come out as 0 Å.
# So: set voxel_size after set_data(), each time. It is right as it is where the image was binned, and
#     wrong where it was cropped or padded.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet mrcfile==1.5.4 numpy==2.4.6
cat > "$folder/crop.py" <<'PYTHON'
import sys
import warnings

import mrcfile
import numpy as np

warnings.simplefilter("error")
path = f"{sys.argv[1]}/a.mrc"
with mrcfile.new(path) as file:
    file.set_data(np.arange(80, dtype=np.float32).reshape(8, 10))
    file.voxel_size = 2.0
with mrcfile.open(path, mode="r+") as file:
    before = float(file.voxel_size.x)
    file.set_data(file.data[:4, :5].copy())
with mrcfile.open(path) as file:
    after = float(file.voxel_size.x)
valid = mrcfile.validate(path)
print(f"before {before:g} Å, cropped {after:g} Å, valid: {valid}")
assert (before, after, valid) == (2.0, 4.0, True)
with mrcfile.new(path, overwrite=True) as file:
    file.voxel_size = 2.0
    file.set_data(np.zeros((8, 10), np.float32))
    first = float(file.voxel_size.x)
print(f"set before the data: {first:g} Å")
assert first == 0
PYTHON
"$folder/env/bin/python" "$folder/crop.py" "$folder"
