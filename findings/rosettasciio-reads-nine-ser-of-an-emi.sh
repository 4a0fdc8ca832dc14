#!/bin/sh
# RosettaSciIO reads an .emi file with 12 .ser files as 9 images, and says nothing of the others.
#
# Guess: TIA writes a.emi without pixels and one a_N.ser for each object of it, so that reading a.emi gives
#     all of them.
# Seen, RosettaSciIO 0.15.0: a_1.ser to a_9.ser are read, a_10.ser to a_12.ser are not: it looks for one
#     digit. Brackets in the name, "a [1].emi", are taken for a pattern, and nothing is found: an empty list,
#     no error. Each of the files is read where it is named itself.
# So: read the .ser files by their own names, all that there are beside the .emi.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet rosettasciio==0.15.0 numpy==2.4.6
cat > "$folder/read.py" <<'PYTHON'
import logging
import struct
import sys
import warnings
from pathlib import Path

from rsciio.tia import file_reader

folder = Path(sys.argv[1])
logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")
OBJECT = """<ObjectInfo><AcquireDate>Fri Jan 01 10:00:00 2021</AcquireDate>
<ExperimentalDescription><Root><Data><Label>Mode</Label><Value>TEM</Value><Unit></Unit></Data></Root>
</ExperimentalDescription><AcquireInfo><CameraNamePath>CCD</CameraNamePath></AcquireInfo></ObjectInfo>"""


def write(stem, count):
    """a.emi and its .ser files (C. B. Boothroyd, "ES Vision and TIA file format"), each of 2 x 3 px."""
    (folder / f"{stem}.emi").write_bytes(b"JZ" + count * OBJECT.replace("\n", "").encode())
    for number in range(1, count + 1):
        axis = struct.pack("<IddIII", 1, 0.0, 1.0, 0, 0, 0)
        image = struct.pack("<ddIddIHII", 0, 1e-9, 0, 0, 1e-9, 0, 5, 3, 2)
        image += struct.pack("<6h", *[number] * 6)
        start = 30 + len(axis)
        head = struct.pack(
            "<HHHIIIIII", 0x4949, 0x0197, 0x0210, 0x4122, 0x4152, 1, 1, start + len(image) + 8, 1
        )
        places = struct.pack("<2I", start, start + len(image))
        path = folder / f"{stem}_{number}.ser"
        path.write_bytes(head + axis + image + bytes(8) + places)


write("a", 12)
found = [int(signal["data"][0, 0]) for signal in file_reader(str(folder / "a.emi"))]
print("a.emi:", found)
assert found == list(range(1, 10)), found
(last,) = file_reader(str(folder / "a_12.ser"))
print("a_12.ser:", int(last["data"][0, 0]), last["data"].shape)
assert int(last["data"][0, 0]) == 12
write("a [1]", 2)
found = file_reader(str(folder / "a [1].emi"))
print("a [1].emi:", found)
assert found == []
PYTHON
"$folder/env/bin/python" "$folder/read.py" "$folder"
