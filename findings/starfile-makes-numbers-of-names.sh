#!/bin/sh
# Micrographs named 0012 and 12e4 in a STAR file of RELION are 12 and 120000 in starfile, and stay so.
#
# Guess: names of micrographs are texts, and a file that is read and written names the same ones.
# Seen, starfile 0.5.13: a column in which each text can be read as a number becomes numbers, whatever it
#     is called. 0012 and 0013 come out as 12 and 13, together with 12e4 as 12.0, 13.0 and 120000.0, and
#     write() writes these. One name with a letter or a suffix among them keeps the whole column.
# So: joins with the files' names, and grouping by name, find nothing or another micrograph. Name such
#     columns: starfile.read(path, parse_as_string=["rlnMicrographName"]).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet starfile==0.5.13 pandas==3.1.1 numpy==2.4.6
cat > "$folder/names.py" <<'PYTHON'
import sys

import starfile

path, column = f"{sys.argv[1]}/a.star", "rlnMicrographName"
HEAD = f"data_micrographs\n\nloop_\n_{column} #1\n_rlnOpticsGroup #2\n"


def names(*stated, **how):
    with open(path, "w") as file:
        file.write(HEAD + "".join(f"{name} 1\n" for name in stated))
    table = starfile.read(path, **how)
    starfile.write(table, path, overwrite=True)
    with open(path) as file:
        written = [line.split()[0] for line in file if line.strip()[-1:] == "1" and "#" not in line]
    print(f"{stated}: read {table[column].tolist()}, written again {written}")
    return written


assert names("0012", "0013") == ["12", "13"]
assert names("0012", "12e4") == ["12.000000", "120000.000000"]
assert names("0012", "b12") == ["0012", "b12"]
assert names("0012", "0013", parse_as_string=[column]) == ["0012", "0013"]
PYTHON
"$folder/env/bin/python" "$folder/names.py" "$folder"
