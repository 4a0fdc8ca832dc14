#!/bin/sh
# A valid description of BioImage.IO is invalid to bioimageio.spec where pydantic 2.14 is installed.
#
# Guess: bioimageio.spec, which asks for pydantic>=2.10.3,<3, reads the same with each of these.
# Seen, bioimageio.spec 0.5.12.0: with pydantic 2.13.5 a description that names a file beside it, such
#     as its documentation, is valid. With 2.14.4, which pip takes, it is not: "Error calling function
#     `package_file_descr_serializer`: TypeError", of which the description is not to blame.
# So: validate packages in an environment of its own, with pydantic<2.14 (make bioimageio-test).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
export BIOIMAGEIO_CACHE_PATH="$folder/cache"
cat > "$folder/README.md" <<'TEXT'
# Data
TEXT
cat > "$folder/rdf.yaml" <<'YAML'
format_version: 0.3.0
type: dataset
name: small data set
description: a description
authors: [{name: Somebody}]
cite: [{text: a paper, doi: 10.1000/xyz123}]
license: MIT
documentation: README.md
YAML
cat > "$folder/read.py" <<'PYTHON'
import sys

import pydantic
from bioimageio.spec import load_description

found = load_description(f"{sys.argv[1]}/rdf.yaml", format_version="latest").validation_summary
said = [error.msg.strip() for detail in found.details for error in detail.errors]
print(f"pydantic {pydantic.VERSION}: {found.status}", *said)
failed = any("package_file_descr_serializer" in each for each in said)
sys.exit(failed != (sys.argv[2] == "fails"))
PYTHON
"$folder/env/bin/pip" install --quiet bioimageio.spec==0.5.12.0 pydantic==2.13.5
"$folder/env/bin/python" "$folder/read.py" "$folder" reads
"$folder/env/bin/pip" install --quiet pydantic==2.14.4
"$folder/env/bin/python" "$folder/read.py" "$folder" fails
