"""Masks of Segment Anything: SA-1B's files, and those of its amg.py."""

import json

import numpy as np
import pytest

from temzoo import labels
from temzoo.labels.formats import segment_anything
from temzoo.labels.formats.geometry import compressed
from temzoo.labels.shapes.raster import instance_map

WHOLE, PART = np.zeros((2, 30, 40), bool)
WHOLE[4:20, 5:35] = True
PART[6:9, 10:12] = True
# As the two write them, but for the points that SAM was asked about.
MASKS = [
    {"segmentation": compressed(mask), "area": int(mask.sum()), "predicted_iou": 0.97, "id": k}
    for k, mask in enumerate([PART, WHOLE])
]
IMAGE = {"image_id": 1, "width": 40, "height": 30, "file_name": "sa_1.jpg"}


def saved(folder, document, name="sa_1.json"):
    (folder / name).write_text(json.dumps(document))
    return folder / name


@pytest.mark.parametrize(
    ("document", "name"), [({"image": IMAGE, "annotations": MASKS}, "sa_1.jpg"), (MASKS, "sa_1")]
)
def test_masks_are_objects_and_the_smaller_lies_on_top(tmp_path, document, name):
    path = saved(tmp_path, document)
    (image,) = labels.read(path)
    assert (image.name, image.width, image.height) == (name, 40, 30)
    numbers = instance_map(image)
    assert np.array_equal(numbers > 0, WHOLE)
    assert np.array_equal(numbers == numbers[6, 10], PART)
    assert labels.read(tmp_path) == [image]


def test_a_folder_holds_a_file_for_each_image(tmp_path):
    saved(tmp_path, MASKS, "a.json")
    saved(tmp_path, MASKS[:1], "b.json")
    saved(tmp_path, {"seed": 1}, "settings.json")
    assert [(one.name, len(one.shapes)) for one in labels.read(tmp_path)] == [("a", 2), ("b", 1)]


def test_a_damaged_mask_is_named_and_the_others_are_read(tmp_path):
    masks = [*MASKS, {"segmentation": [[1, 2, 3]], "predicted_iou": 0.9}]
    said = []
    (image,) = labels.read(saved(tmp_path, masks), said=said)
    assert len(image.shapes) == 2
    assert "sa_1.json, mask 3 was left out: an entry must be an object." in said[0].text


def test_a_file_without_sizes_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a\.json: size must be a whole number"):
        segment_anything.parse(
            {"image": {"file_name": "a.png"}, "annotations": []}, tmp_path / "a.json"
        )
