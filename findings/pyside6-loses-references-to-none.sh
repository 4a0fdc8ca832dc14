#!/bin/sh
# Qt for Python 6.12.0 under Python 3.11: each call gives one reference to None away.
#
# Guess: a call that returns None leaves the count of references to None as it was.
# Seen, PySide6-Essentials 6.12.0, Python 3.11.7: 100 calls of QObject.setObjectName lower it by 100.
#     After a few thousand more, Python aborts: "none_dealloc: deallocating None". With 6.11.3 it stays.
#     From Python 3.12 on None is immortal, so nothing is lost there.
# So: under Python 3.11 and older, exclude 6.12.0, as `pip install PySide6!=6.12.0` does.
set -eu
python3 -c 'import sys; sys.exit(sys.version_info >= (3, 12))' || { echo "needs Python 3.11"; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/count.py" <<'PYTHON'
import sys

from PySide6.QtCore import QObject

thing = QObject()
before = sys.getrefcount(None)
for _ in range(100):
    thing.setObjectName("name")
print(sys.getrefcount(None) - before)
PYTHON
for version in 6.12.0 6.11.3; do
    python3 -m venv "$folder/env-$version"
    "$folder/env-$version/bin/pip" install --quiet "PySide6-Essentials==$version" "shiboken6==$version"
    echo "PySide6 $version: $("$folder/env-$version/bin/python" "$folder/count.py")" | tee -a "$folder/seen"
done
grep -qE '^PySide6 6\.12\.0: -(9[0-9]|100)$' "$folder/seen"
grep -qE '^PySide6 6\.11\.3: -?[0-9]$' "$folder/seen"
