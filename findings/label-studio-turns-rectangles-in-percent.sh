#!/bin/sh
# Label Studio's converter places one turned rectangle in three ways: COCO, YOLO and YOLO-OBB disagree.
#
# Guess: the exports of one project hold the same boxes.
# Seen, label-studio-sdk 2.1.2: a square of 20 x 20 px, turned by 90 degrees about its corner in an image
#     of 200 x 100 px, is right in YOLO-OBB. COCO turns it in percent, as if the image were square, and
#     gives a box of 40 x 10 px around another centre. YOLO leaves the turn out: its box lies beside
#     the square. None of them says a word.
# So: sizes from COCO are off by up to the ratio of the image's sides, and YOLO has the sides right and
#     the place wrong, so that pixels under its boxes are not the object's. Measure in YOLO-OBB, or in the
#     JSON export: make pixels of its percent first, then turn. Square images have COCO right.
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
CONFIG = """<View><Image name="image" value="$image"/>
<RectangleLabels name="box" toName="image"><Label value="grain"/></RectangleLabels></View>"""
# The corner at (100, 20) px; clockwise, the square comes to lie on the left of it.
value = {"x": 50, "y": 20, "width": 10, "height": 20, "rotation": 90, "rectanglelabels": ["grain"]}
region = {"from_name": "box", "to_name": "image", "type": "rectanglelabels", "id": "a", "value": value}
region |= {"original_width": 200, "original_height": 100, "image_rotation": 0}
made = {"id": 1, "completed_by": 1, "created_at": "2026-01-01T10:00:00Z", "result": [region]}
task = {"id": 1, "data": {"image": "a.png"}, "annotations": [made]}
(folder / "tasks.json").write_text(json.dumps([task]))


def export(name):
    Converter(CONFIG, None).convert(f"{folder}/tasks.json", f"{folder}/{name}", name, is_dir=False)


def row(name):
    export(name)
    (file,) = (folder / name / "labels").iterdir()
    return [float(word) for word in file.read_text().split()[1:]]


export("COCO")
(coco,) = json.loads((folder / "COCO/result.json").read_text())["annotations"]
(x, y, w, h), corners = row("YOLO"), row("YOLO_OBB")
xs, ys = corners[::2], corners[1::2]
boxes = {
    "COCO": coco["bbox"],
    "YOLO": [200 * (x - w / 2), 100 * (y - h / 2), 200 * w, 100 * h],
    "YOLO-OBB": [200 * min(xs), 100 * min(ys), 200 * (max(xs) - min(xs)), 100 * (max(ys) - min(ys))],
}
boxes = {name: [round(number, 6) for number in box] for name, box in boxes.items()}
print("left, top, width, height in px:", boxes)
assert boxes == {"COCO": [60, 20, 40, 10], "YOLO": [100, 20, 20, 20], "YOLO-OBB": [80, 20, 20, 20]}
PYTHON
"$folder/env/bin/python" "$folder/export.py" "$folder"
