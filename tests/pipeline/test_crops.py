"""Windows cover every pixel; crops carry calibration, shapes and group."""

import pickle

import numpy as np
import pytest

from temzoo.core.types import Example, LabelledImage, Micrograph, Shape
from temzoo.data.crops import CropLoader, crop_examples, shifted, windows
from temzoo.data.splits import split
from temzoo.labels.shapes.raster import class_map
from temzoo.labels.shapes.runs import encode_runs

HEIGHT, WIDTH = 150, 200


class Ramp:
    """Reads a micrograph whose pixel (r, c) is 1000 r + c."""

    def __call__(self) -> Micrograph:
        rows, cols = np.mgrid[:HEIGHT, :WIDTH]
        return Micrograph((1000 * rows + cols).astype(np.float32), (0.2, 0.4), "grid.tif")


def every_kind() -> tuple[Shape, ...]:
    rng = np.random.default_rng(0)
    mask = rng.random((20, 30)) < 0.5
    return (
        Shape("polygon", "particle", np.array([[10.0, 10.0], [60.0, 25.0], [30.0, 70.0]])),
        Shape("ellipse", "void", np.array([[75.0, 100.0], [20.0, 9.0]]), rotation=30.0),
        Shape("box", "particle", np.array([[100.0, 120.0], [130.0, 180.0]]), rotation=-20.0),
        Shape("mask", "void", np.array([[55.0, 50.0], [75.0, 80.0]]), runs=encode_runs(mask)),
        Shape("polyline", "dislocation", np.array([[5.0, 150.0], [40.0, 190.0]])),
        Shape("points", "site", np.array([[140.0, 5.0]])),
    )


def example(shapes: tuple[Shape, ...] = (), *, name: str = "grid.tif", group: str = "") -> Example:
    return Example(LabelledImage(name, WIDTH, HEIGHT, shapes), Ramp(), group)


@pytest.mark.parametrize("height", [1, 31, 64, 65, 200])
@pytest.mark.parametrize(("window", "stride"), [(64, 64), (64, 40), (64, 1), (16, 7), (1, 1)])
def test_windows_cover_every_pixel_and_never_reach_outside(height, window, stride):
    width = 70
    covered = np.zeros((height, width), int)
    for row, col, h, w in windows(height, width, window=window, stride=stride):
        assert 0 <= row <= row + h <= height
        assert 0 <= col <= col + w <= width
        assert (h, w) == (min(window, height), min(window, width))
        covered[row : row + h, col : col + w] += 1
    assert covered.min() >= 1


def test_windows_last_one_ends_with_the_image_and_none_repeats():
    places = windows(100, 130, window=64, stride=48)
    assert places[-1] == (36, 66, 64, 64)
    assert len(set(places)) == len(places) == 2 * 3


def test_windows_without_overlap_tile_a_multiple_exactly():
    assert windows(4, 4, window=2) == [(0, 0, 2, 2), (0, 2, 2, 2), (2, 0, 2, 2), (2, 2, 2, 2)]


def test_image_smaller_than_the_window_gives_one_of_its_own_size():
    assert windows(30, 50, window=64, stride=32) == [(0, 0, 30, 50)]


def test_crops_are_the_pixels_of_their_window_with_the_calibration():
    for crop in crop_examples([example(every_kind())], window=64, stride=48):
        micrograph = crop.micrograph
        assert micrograph.nm_per_pixel == (0.2, 0.4)
        assert micrograph.name == crop.name
        assert micrograph.pixels.shape == (crop.labels.height, crop.labels.width)
        row, col = divmod(int(micrograph.pixels[0, 0]), 1000)
        assert crop.name == f"grid.tif[{row}:{row + 64},{col}:{col + 64}]"
        assert micrograph.pixels[5, 7] == 1000 * (row + 5) + col + 7


def test_crop_does_not_keep_the_whole_image_in_memory():
    crop = crop_examples([example()], window=64)[0]
    assert crop.micrograph.pixels.base is None


def test_class_map_of_a_crop_is_the_crop_of_the_class_map():
    shapes = tuple(shape for shape in every_kind() if shape.has_area)
    whole = class_map(LabelledImage("grid.tif", WIDTH, HEIGHT, shapes), ["particle", "void"])
    crops = crop_examples([example(shapes)], window=64, stride=37)
    assert len(crops) == 4 * 5
    for crop in crops:
        row, col = divmod(int(crop.micrograph.pixels[0, 0]), 1000)
        expected = whole[row : row + 64, col : col + 64]
        assert np.array_equal(class_map(crop.labels, ["particle", "void"]), expected)
        assert bool(crop.labels.shapes) == bool(expected.any())


def test_shapes_that_do_not_touch_the_window_are_left_out_others_are_whole():
    shapes = every_kind()
    crops = crop_examples([example(shapes)], window=50)
    kinds = {crop.name: [s.kind for s in crop.labels.shapes] for crop in crops}
    assert kinds["grid.tif[0:50,0:50]"] == ["polygon"]
    assert kinds["grid.tif[100:150,0:50]"] == ["points"]
    assert kinds["grid.tif[0:50,150:200]"] == ["polyline"]
    assert kinds["grid.tif[50:100,50:100]"] == ["ellipse", "mask"]
    polygon = crops[0].labels.shapes[0]
    assert np.array_equal(polygon.points, shapes[0].points)  # reaches beyond the crop, uncut


def test_extent_alone_does_not_count_as_touching():
    corner = Shape("polygon", "particle", np.array([[0.0, 0.0], [0.0, 99.0], [99.0, 0.0]]))
    crops = crop_examples([example((corner,))], window=50)
    lower_right = next(crop for crop in crops if crop.name == "grid.tif[50:100,50:100]")
    assert lower_right.labels.shapes == ()


def test_tag_of_the_whole_image_stays_on_every_crop_but_is_no_object():
    tag = Shape("tag", "good", np.zeros((0, 2)))
    crops = crop_examples([example((tag,))], window=64)
    assert all(crop.labels.shapes == (tag,) for crop in crops)
    assert crop_examples([example((tag,))], window=64, keep_fraction=0.0) == []


def test_shifted_moves_an_ellipse_but_not_its_axes():
    ellipse = every_kind()[1]
    moved = shifted(ellipse, -10, 5)
    assert moved.points.tolist() == [[65.0, 105.0], [20.0, 9.0]]
    assert ellipse.points.tolist() == [[75.0, 100.0], [20.0, 9.0]]
    assert (moved.rotation, moved.label) == (30.0, "void")


def test_shifted_mask_keeps_its_runs():
    mask = every_kind()[3]
    moved = shifted(mask, -60, -60)
    assert moved.points.tolist() == [[-5.0, -10.0], [15.0, 20.0]]
    assert np.array_equal(moved.runs, mask.runs)


def test_keep_fraction_keeps_all_labelled_and_an_exact_seeded_share_of_empty():
    examples = [example(every_kind()), example(name="empty.tif")]
    crops = crop_examples(examples, window=32)
    empty = {crop.name for crop in crops if not crop.labels.shapes}
    kept = crop_examples(examples, window=32, keep_fraction=0.25, seed=3)
    names = [crop.name for crop in kept]
    assert len(empty & set(names)) == round(0.25 * len(empty))
    assert {crop.name for crop in crops} - empty <= set(names)
    assert names == [crop.name for crop in crops if crop.name in set(names)]
    again = crop_examples(examples, window=32, keep_fraction=0.25, seed=3)
    assert [crop.name for crop in again] == names
    other = crop_examples(examples, window=32, keep_fraction=0.25, seed=4)
    assert [crop.name for crop in other] != names


def test_crops_share_the_group_or_name_of_their_image_so_a_split_never_parts_them():
    examples = [example(name=f"{k}.tif", group="lot" * (k < 2)) for k in range(5)]
    crops = crop_examples(examples, window=64)
    assert {crop.group for crop in crops} == {"lot", "2.tif", "3.tif", "4.tif"}
    train, val = split(crops, (0.5, 0.5))
    assert {crop.group for crop in train}.isdisjoint(crop.group for crop in val)


def test_crops_can_be_sent_to_another_process():
    crop = crop_examples([example(every_kind())], window=64)[3]
    again = pickle.loads(pickle.dumps(crop.load))
    assert np.array_equal(again().pixels, crop.micrograph.pixels)


def test_wrong_window_stride_or_fraction_say_what_to_use():
    with pytest.raises(ValueError, match=r"at least 1 pixel. Received: window=0. Use 256"):
        windows(10, 10, window=0)
    with pytest.raises(ValueError, match=r"would be skipped. Received: stride=9, window=8. Use 8"):
        windows(10, 10, window=8, stride=9)
    with pytest.raises(ValueError, match="Received: stride=0, window=8"):
        windows(10, 10, window=8, stride=0)
    with pytest.raises(ValueError, match=r"from 0 to 1. Received: keep_fraction=1.5. Use 1.0"):
        crop_examples([], window=8, keep_fraction=1.5)


def test_window_outside_the_micrograph_is_refused():
    load = CropLoader(Ramp(), 140, 0, 64, 64, "grid.tif[140:204,0:64]")
    with pytest.raises(ValueError, match=r"must lie inside.*\[140:204,0:64\].*150 x 200 px"):
        load()
