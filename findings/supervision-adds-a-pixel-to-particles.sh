#!/bin/sh
# A square particle of 10 x 10 px in a COCO file has 121 px in supervision, and 100 in pycocotools.
#
# Guess: who reads the same polygon sees the same area, but for a pixel here and there at its border.
# Seen, supervision 0.31.2, with and without OpenCV, and pycocotools 2.0.11: supervision rounds a polygon
#     to pixels and fills it together with those of its border, so that every particle grows by half a
#     pixel all round. A disc of 10 px in diameter measures 11.3 px, one of 40 px 41.1; pycocotools is
#     within 0.2 px.
# So: sizes measured on masks that supervision made of polygons are a pixel too large: a fifth of the
#     area at 10 px, and touching particles overlap. Measure the polygons, or pycocotools' masks.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet supervision==0.31.2 pycocotools==2.0.11 numpy==2.4.6
cat > "$folder/read.py" <<'PYTHON'
import json
import sys
from pathlib import Path

import numpy as np
import supervision
from PIL import Image
from pycocotools import mask as coco_mask

folder, size = Path(sys.argv[1]), 64
(folder / "images").mkdir()
Image.fromarray(np.zeros((size, size), np.uint8)).save(folder / "images" / "a.png")
turn = np.linspace(0, 2 * np.pi, 200, endpoint=False)
SHAPES = {
    "square of 10 px": np.array([[20, 20], [30, 20], [30, 30], [20, 30]], float),
    "disc of 10 px": 25 + 5 * np.stack([np.cos(turn), np.sin(turn)], axis=-1),
    "disc of 40 px": 32 + 20 * np.stack([np.cos(turn), np.sin(turn)], axis=-1),
}


def read(polygon):
    """The area of the same polygon's mask in supervision and in pycocotools."""
    (left, top), (right, bottom) = polygon.min(axis=0), polygon.max(axis=0)
    entry = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 1.0}
    entry["bbox"] = [left, top, right - left, bottom - top]
    entry["segmentation"] = [polygon.ravel().tolist()]
    image = {"id": 1, "file_name": "a.png", "width": size, "height": size}
    labels = {"images": [image], "annotations": [entry], "categories": [{"id": 1, "name": "p"}]}
    path = folder / "labels.json"
    path.write_text(json.dumps(labels))
    data = supervision.DetectionDataset.from_coco(str(folder / "images"), str(path), force_masks=True)
    ((_, _, found),) = list(data)
    runs = coco_mask.frPyObjects(entry["segmentation"], size, size)
    return int(found.mask.sum()), int(coco_mask.area(runs)[0])


areas = {name: read(polygon) for name, polygon in SHAPES.items()}
for name, pair in areas.items():
    one, other = (2 * np.sqrt(area / np.pi) for area in pair)
    print(f"{name}: supervision {pair[0]} px, {one:.1f} px in diameter,", end=" ")
    print(f"pycocotools {pair[1]} px, {other:.1f} px")
    if name.startswith("disc"):
        diameter = float(name.split()[2])
        assert 0.7 < one - diameter < 1.5
        assert abs(other - diameter) < 0.3
assert areas["square of 10 px"] == (121, 100)
PYTHON
"$folder/env/bin/python" "$folder/read.py" "$folder"
