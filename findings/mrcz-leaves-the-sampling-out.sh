#!/bin/sh
# An MRC file that mrcz wrote with pixels of 3 Å: in three other readers they are infinite, 15 Å and 1 nm.
#
# Guess: who reads MRC files finds the size of a pixel that mrcz was given.
# Seen, mrcz 0.6.0 with mrcfile 1.5.4, ncempy 1.16 and RosettaSciIO 0.15.0, an image of 4 x 5 pixels: the
#     header has the size of the cell, and 0 where the number of samples along it stands (MX, MY, MZ), by
#     which it is to be divided. mrcfile divides, and has inf. ncempy gives the cell, 15 Å wide and 12 high,
#     and RosettaSciIO a scale of 1 with the unit nm; both look like calibrations. mrcz reads its own files
#     back right.
# So: mend the header once the file is written: open it with mrcfile as "r+" and permissive, and call
#     update_header_from_data().
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet mrcz==0.6.0 mrcfile==1.5.4 ncempy==1.16 rosettasciio==0.15.0 \
    numpy==2.4.6
cat > "$folder/sizes.py" <<'PYTHON'
import sys
import warnings

import mrcfile
import mrcz
import numpy as np
from ncempy.io import mrc
from rsciio.mrc import file_reader

warnings.simplefilter("ignore")
path = f"{sys.argv[1]}/a.mrc"
mrcz.writeMRC(np.zeros((4, 5), np.float32), path, pixelsize=[0.3, 0.3, 0.3], pixelunits="nm")
own = mrcz.readMRC(path)[1]["pixelsize"].tolist()
with mrcfile.open(path, permissive=True) as file:
    samples = [int(file.header[key]) for key in ("mx", "my", "mz")]
    cell, voxel = float(file.header.cella.x), float(file.voxel_size.x)
third = mrc.mrcReader(path)["pixelSize"][1:].tolist()
axes = file_reader(path)[0]["axes"]
scales = [(axis["scale"], axis["units"]) for axis in axes if axis["name"] in ("x", "y")]
print(f"cell {cell:.0f} Å wide, samples {samples}, mrcz {own} Å")
print(f"mrcfile {voxel} Å, ncempy {third} Å, RosettaSciIO {scales}")
assert np.allclose(own, 3) and abs(cell - 5 * 3) < 1e-4
assert samples == [0, 0, 0] and voxel == float("inf")
assert np.allclose(third, [12, 15])
assert scales == [(1, "nm"), (1, "nm")]
with mrcfile.open(path, "r+", permissive=True) as file:
    file.update_header_from_data()
    print(f"mended: {file.voxel_size.x:.2f} Å")
    assert abs(file.voxel_size.x - 3) < 1e-5
PYTHON
"$folder/env/bin/python" "$folder/sizes.py" "$folder"
