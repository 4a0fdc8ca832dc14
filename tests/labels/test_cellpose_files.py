"""What Cellpose's window saves, read: a pickle of which nothing runs."""

import datetime
import pickle

import numpy as np
import pytest

from temzoo import labels
from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.formats import cellpose
from temzoo.labels.shapes.raster import instance_map

NUMBERS = np.zeros((30, 40), np.uint16)
NUMBERS[4:9, 5:20], NUMBERS[9:20, 5:9], NUMBERS[25, 30] = 1, 2, 7


def saved(folder, name="a_seg.npy", **changed):
    """As Cellpose 4's window saves an image and what was drawn by hand."""
    content = {
        "outlines": NUMBERS * 0,
        "colors": np.zeros((3, 3), np.uint8),
        "masks": NUMBERS,
        "chan_choose": [0, 0],
        "filename": "C:\\data\\a.tif",
        "flows": [np.zeros((1, 30, 40, 3), np.uint8), [], None],
        "ismanual": np.zeros(3, bool),
        "manual_changes": [["01/02/2026, 10:00:00", "added mask", [np.arange(3), np.arange(3)]]],
        "model_path": 0,
        "flow_threshold": np.float64(0.4),
        "normalize_params": {"lowhigh": None, "percentile": [1.0, 99.0]},
    }
    np.save(folder / name, content | changed)
    return folder / name


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<u4", "<i8", "u1", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_masks_are_those_that_numpy_gives(tmp_path, dtype, order):
    path = saved(tmp_path, masks=np.asarray(NUMBERS.astype(dtype), order=order))
    stored = np.load(path, allow_pickle=True).item()["masks"]
    (image,) = labels.read(path)
    assert (image.name, image.width, image.height) == ("a.tif", 40, 30)
    found = instance_map(image)
    for number in np.unique(stored[stored > 0]):
        one = stored == number
        assert np.array_equal(found == found[one][0], one)
    assert np.array_equal(found > 0, stored > 0)


def test_a_folder_is_read_beside_its_images(tmp_path):
    saved(tmp_path)
    (tmp_path / "more").mkdir()
    saved(tmp_path / "more", "b_seg.npy", filename=None)
    assert [one.name for one in labels.read(tmp_path)] == ["a.tif", "more/b"]
    (tmp_path / "a_cp_masks.png").touch()
    assert labels.is_masks(tmp_path)


def test_what_temzoo_writes_comes_back(tmp_path):
    shape = Shape("polygon", "rod", np.array([[2.0, 3.0], [2.0, 20.0], [15.0, 9.0]]))
    image = LabelledImage("a.png", 40, 30, (shape,))
    labels.write(tmp_path, [image], to="cellpose")
    (back,) = labels.read(tmp_path)
    assert back.name == "a.png"
    assert np.array_equal(instance_map(back), instance_map(image))


class Runs:
    def __reduce__(self):
        return datetime.date, (1, 1, 1)


def test_nothing_that_a_pickle_names_is_called(tmp_path, monkeypatch):
    path = saved(tmp_path, model_path=Runs())
    called = []
    monkeypatch.setattr(pickle._Unpickler, "find_class", lambda *name: called.append(name))
    (image,) = labels.read(path)
    assert len(image.shapes) == 3
    assert called == []
    assert isinstance(cellpose._content(path)["model_path"], cellpose.Piece)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"masks": NUMBERS[None]}, r"masks=\(1, 30, 40\) of u2\. Save those of one image as TIFF"),
        ({"masks": NUMBERS * 1.0}, r"masks=\(30, 40\) of f8"),
        ({"masks": [1, 2]}, r"masks=\(\) of list"),
    ],
)
def test_masks_of_a_volume_or_none_are_refused(tmp_path, changed, says):
    said = []
    assert labels.read(saved(tmp_path, **changed), said=said) == []
    assert "a_seg.npy was left out: masks must be whole numbers of one image." in said[0].text
    with pytest.raises(ValueError, match=says):
        cellpose.read(tmp_path)


def test_damaged_files_are_named(tmp_path):
    data = saved(tmp_path).read_bytes()
    (tmp_path / "a_seg.npy").write_bytes(data[:-200])
    with pytest.raises(
        ValueError, match=r"a_seg\.npy: a _seg\.npy must be a dictionary as Cellpose"
    ):
        cellpose.read(tmp_path)
    (tmp_path / "a_seg.npy").write_bytes(data.replace(b"K\x1eK(\x86", b"K\x1fK(\x86"))
    with pytest.raises(
        ValueError, match=r"masks must be whole\. Received: \(31, 40\) of u2 in 2400"
    ):
        cellpose.read(tmp_path)
