#!/bin/sh
# One colour CZI of Zeiss, two readers: (200, 100, 50) in pylibCZIrw is (50, 100, 200) in czifile.
#
# Guess: arrays of three channels are red, green and blue, in Zeiss's own library as elsewhere; its write()
#     asks for planes of "(m,n,3) for rgb".
# Seen, pylibCZIrw 6.1.0 and czifile 2019.7.2.3: the format's colour type is Bgr24, with blue first.
#     pylibCZIrw gives the bytes as they lie, blue first, and writes an array as it is: red ends up in the
#     file's blue. What it wrote, it reads back, so that nothing shows. czifile turns the channels round.
# So: turn the last axis round after read() and before write(); images that were written with pylibCZIrw
#     and are blue in ZEN where they should be red were not.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet pylibCZIrw==6.1.0 czifile==2019.7.2.3 numpy==2.4.6 setuptools==65.5.0
cat > "$folder/colours.py" <<'PYTHON'
import sys

import czifile
import numpy as np
from pylibCZIrw import czi

path = f"{sys.argv[1]}/a.czi"
with czi.create_czi(path) as document:
    document.write(data=np.full((6, 9, 3), (200, 100, 50), np.uint8), plane={"C": 0})
with open(path, "rb") as file:
    stored = file.read()
assert bytes((200, 100, 50)) * 54 in stored
with czi.open_czi(path) as document:
    zeiss = document.read()[2, 2].tolist()
with czifile.CziFile(path) as file:
    kind = file.filtered_subblock_directory[0].pixel_type
    other = file.asarray().squeeze()[2, 2].tolist()
print(f"{kind}, the bytes are 200, 100, 50: pylibCZIrw {zeiss}, czifile {other}")
assert (kind, zeiss, other) == ("Bgr24", [200, 100, 50], [50, 100, 200])
PYTHON
"$folder/env/bin/python" "$folder/colours.py" "$folder"
