#!/bin/sh
# An image labelled twice in Label Studio: two images in COCO, and in YOLO one, with the older labels.
#
# Guess: an export has each image once, with both people's labels or the newer ones.
# Seen, label-studio-sdk 2.1.2: COCO lists the image once for each labelling, under one file name and two
#     numbers, the newer first. YOLO has one text file for it, into which the labellings are written in
#     the same order, each over the one before: the oldest is left, however the JSON orders them.
# So: from COCO, objects are counted and measured twice, and an image can be in training and validation
#     both; from YOLO, a second person's correction is lost. Choose one labelling for each image before
#     the export, or read the JSON, where they stand with their dates.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet label-studio-sdk==2.1.2
cat > "$folder/export.py" <<'PYTHON'
import json
import sys
from pathlib import Path

from label_studio_sdk.converter import Converter

folder = Path(sys.argv[1])
CONFIG = """<View><Image name="image" value="$image"/><PolygonLabels name="outline" toName="image">
<Label value="older"/><Label value="newer"/></PolygonLabels></View>"""


def labelling(day, label):
    value = {"points": [[10, 10], [30, 10], [20, 40]], "closed": True, "polygonlabels": [label]}
    region = {"from_name": "outline", "to_name": "image", "type": "polygonlabels", "id": label}
    region |= {"original_width": 200, "original_height": 100, "image_rotation": 0, "value": value}
    created = f"2026-01-0{day}T10:00:00Z"
    return {"id": day, "completed_by": day, "created_at": created, "result": [region]}


both = [labelling(1, "older"), labelling(2, "newer")]
for annotations in (both, both[::-1]):
    source = folder / f"{annotations[0]['id']} first.json"
    source.write_text(json.dumps([{"id": 1, "data": {"image": "a.png"}, "annotations": annotations}]))
    for name in ("COCO", "YOLO"):
        Converter(CONFIG, None).convert(str(source), f"{source}.{name}", name, is_dir=False)
    coco = json.loads(Path(f"{source}.COCO/result.json").read_text())
    names = {category["id"]: category["name"] for category in coco["categories"]}
    labels = [(entry["image_id"], names[entry["category_id"]]) for entry in coco["annotations"]]
    files = [image["file_name"] for image in coco["images"]]
    classes = Path(f"{source}.YOLO/classes.txt").read_text().split()
    (file,) = Path(f"{source}.YOLO/labels").iterdir()
    kept = [classes[int(line.split()[0])] for line in file.read_text().splitlines()]
    print(f"{source.stem}: COCO {len(files)} images, {labels}; YOLO {kept}")
    assert files == [files[0]] * 2
    assert labels == [(0, "newer"), (1, "older")]
    assert kept == ["older"]
PYTHON
"$folder/env/bin/python" "$folder/export.py" "$folder"
