"""What is one object in a class map: the same for labels and predictions."""

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import label

import temzoo
from temzoo.core import connected
from temzoo.core.connected import connected_components
from temzoo.inference.regions import label_instances
from temzoo.measurement import load_instance_map


def slow(classes):
    """The rule, pixel by pixel: parts by sides, then thin ones with all that meet their corners."""
    parts = label(classes, background=0, connectivity=1)
    squares = [
        {parts[r, c], parts[r + 1, c], parts[r, c + 1], parts[r + 1, c + 1]}
        for r in range(len(parts) - 1)
        for c in range(parts.shape[1] - 1)
    ]
    thick = {k for square in squares if len(square) == 1 for k in square}
    owner = list(range(parts.max() + 1))

    def root(k):
        return k if owner[k] == k else root(owner[k])

    for r in range(len(parts) - 1):
        for c in range(parts.shape[1] - 1):
            for a, b in (((r, c), (r + 1, c + 1)), ((r, c + 1), (r + 1, c))):
                one, other = parts[a], parts[b]
                same = classes[a] == classes[b] and one > 0
                if same and one != other and not (one in thick and other in thick):
                    low, high = sorted((root(one), root(other)))
                    owner[high] = low
    roots = np.array([root(k) for k in range(len(owner))])
    return np.unique(roots, return_inverse=True)[1][parts]


@pytest.mark.parametrize("sigma", [0.5, 0.8, 3])
@pytest.mark.parametrize("levels", [2, 3])
def test_objects_are_those_of_the_rule_across_block_borders(monkeypatch, sigma, levels):
    monkeypatch.setattr(connected, "BLOCK_ROWS", 7)
    noise = ndimage.gaussian_filter(np.random.default_rng(0).random((61, 80)), sigma)
    classes = np.digitize(noise, np.quantile(noise, np.linspace(0.6, 1, levels)[:-1]))
    found = connected_components(classes)
    np.testing.assert_array_equal(found, slow(classes))
    assert found.dtype == np.int32
    by_sides, by_corners = (label(classes, background=0, connectivity=k).max() for k in (1, 2))
    assert by_corners <= found.max() <= by_sides
    if sigma < 1:
        assert by_corners < found.max() < by_sides


def test_objects_of_one_spiral_are_one(monkeypatch):
    monkeypatch.setattr(connected, "BLOCK_ROWS", 2)
    comb = np.zeros((11, 21), np.uint8)
    comb[:, ::2] = 1
    comb[0, 1::4] = comb[-1, 3::4] = 1
    assert connected_components(comb).max() == 1


def line():
    """A crack of one pixel's width, along the diagonal."""
    mask = np.zeros((96, 96), np.uint8)
    mask[np.arange(20, 70), np.arange(20, 70)] = 255
    return mask


def corners():
    """Two squares that touch at a corner."""
    mask = np.zeros((96, 96), np.uint8)
    mask[20:40, 20:40] = mask[40:60, 40:60] = 255
    return mask


@pytest.mark.parametrize("turned", [False, True])
def test_a_thin_line_goes_on_across_corners_and_grains_end_there(turned):
    for mask, number in ((line(), 1), (corners(), 2)):
        assert connected_components(mask[:, ::-1] if turned else mask).max() == number
    two_classes = np.where(np.arange(96)[:, None] < 40, line(), line() // 2)
    assert connected_components(two_classes).max() == 2
    assert connected_components(np.zeros((3, 4), int)).max() == 0


@pytest.mark.parametrize(("draw", "number"), [(line, 1), (corners, 2)])
@pytest.mark.parametrize("instances", ["auto", "components"])
def test_a_perfect_prediction_of_a_mask_has_its_objects(tmp_path, draw, number, instances):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "a.png"), draw())

    def perfect(x):
        on = (np.asarray(x)[..., 0] > 127).astype(np.float32)
        return np.stack([1 - on, on], -1)

    examples = temzoo.load_dataset(images=tmp_path / "images", labels=tmp_path / "masks")
    assert len(examples[0].labels.shapes) == number
    found = temzoo.evaluate(perfect, examples, instances=instances)
    assert found.table[0]["instances_predicted"] == found.table[0]["instances_true"] == number
    assert found.pooled["instance_f1"].value == 1
    assert load_instance_map(tmp_path / "masks" / "a.png").instances.max() == number


def test_where_regions_are_cut_thin_lines_stay_with_the_part_that_they_touch():
    rows, cols = np.mgrid[:60, :90]
    discs = [(rows - 30) ** 2 + (cols - c) ** 2 <= 15**2 for c in (25, 54)]
    mask = discs[0] | discs[1]
    mask[[14, 13, 12], [55, 56, 57]] = True  # hangs on the second disc by a corner
    assert mask[15, 54]
    assert not mask[14, 54]
    found = label_instances(mask.astype(np.uint8), method="watershed")
    assert found.max() == 2
    assert found[12, 57] == found[30, 54] != found[30, 25]
    assert all(label(found == k, connectivity=2).max() == 1 for k in (1, 2))
