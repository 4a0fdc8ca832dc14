"""Datasets by name and by the layout of a folder."""

import shutil

import cv2
import numpy as np
import pytest

from benchmarks import datasets
from benchmarks.datasets import Dataset, dataset, from_folder, open_dataset
from temzoo.data.synthetic.synthesize import write_dataset
from temzoo.labels.formats import masks


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """A CVAT export: images and their XML."""
    folder = tmp_path_factory.mktemp("export")
    write_dataset(folder, n=6, size=64, n_particles=2, diameter_nm=(3.0, 8.0))
    return folder


def named(folder):
    return sorted(path.name for path in (folder / "images").iterdir())


def listed(path, names):
    path.write_text("name\n" + "".join(f"{name}\n" for name in names), encoding="utf-8")


def test_a_cvat_export_is_split_with_a_fixed_seed(export):
    found = from_folder(export)
    assert found.name == export.name
    assert len(found.train) + len(found.val) == 6
    again = open_dataset(str(export))
    assert [e.name for e in again.val] == [e.name for e in found.val]
    assert found.told() == again.told()
    assert found.told()["fingerprint"] != found.told("train")["fingerprint"]
    assert found.val[0].micrograph.pixels.shape[:2] == (64, 64)


def test_emps_layout_follows_its_lists(export, tmp_path):
    folder = tmp_path / "emps"
    shutil.copytree(export, folder)
    names = named(folder)
    listed(folder / "train.csv", names[:4])
    listed(folder / "val.csv", names[4:])
    found = open_dataset("emps", data=tmp_path)
    assert [len(found.train), len(found.val)] == [4, 2]
    assert {e.name for e in found.val} == {*names[4:]}
    assert found.split == "train.csv, val.csv"


def test_emps_layout_without_val_csv_judges_by_a_fifth_of_train_csv_and_by_no_test(
    export, tmp_path
):
    folder = tmp_path / "published"
    shutil.copytree(export, folder)
    entries = [e.labels for e in from_folder(export).part("all")]
    masks.write(folder / "segmaps", entries, kind="instances")
    (folder / "annotations.xml").unlink()
    names = named(folder)
    listed(folder / "train.csv", names[:5])
    listed(folder / "test.csv", names[5:])
    found = from_folder(folder)
    assert {e.name.split(".")[0] for e in found.part("all")} == {n.split(".")[0] for n in names[:5]}
    assert "fifth of train.csv" in found.split
    assert all(e.labels.shapes for e in found.part("all"))


@pytest.mark.parametrize("layout", [("images", "labels"), ("", "_annot")])
def test_nasa_layouts(tmp_path, layout):
    images, labels = layout
    for part, count in (("train", 3), ("val", 1)):
        where = tmp_path / part / images
        drawn = tmp_path / part / labels if images else tmp_path / f"{part}{labels}"
        for folder in (where, drawn):
            folder.mkdir(parents=True, exist_ok=True)
        for k in range(count):
            classes = np.zeros((32, 32), np.uint8)
            classes[4:12, 4:12], classes[16:28, 16:28] = 1, 2
            cv2.imwrite(str(where / f"{part}{k}.png"), classes * 100)
            cv2.imwrite(str(drawn / f"{part}{k}.png"), classes)
    found = from_folder(tmp_path)
    assert [len(found.train), len(found.val)] == [3, 1]
    assert {s.label for s in found.val[0].labels.shapes} == {"1", "2"}


def test_one_more_dataset_is_a_function(export):
    @dataset("ours")
    def ours(folder):
        found = from_folder(folder)
        return Dataset("ours", found.train, found.val, "as found")

    try:
        assert open_dataset("ours", data=export).split == "as found"
    finally:
        del datasets.DATASETS["ours"]


def test_synthetic_needs_no_file_and_is_the_same_each_time():
    found = open_dataset("synthetic", quick=True)
    assert [len(found.train), len(found.val)] == [8, 6]
    assert not {e.name for e in found.train} & {e.name for e in found.val}
    first = found.val[0].micrograph.pixels
    datasets._synthesized.cache_clear()
    assert np.array_equal(open_dataset("synthetic", quick=True).val[0].micrograph.pixels, first)


def test_a_smaller_draw_is_within_a_larger_one():
    found = open_dataset("synthetic", quick=True)
    names = [{e.name for e in found.drawn(count).train} for count in (2, 5, 8)]
    assert names[0] < names[1] < names[2]
    with pytest.raises(
        ValueError, match=r"synthetic has 8 training images. Received: 9. Take fewer"
    ):
        found.drawn(9)


def test_what_is_no_dataset_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"one of synthetic, supported, emps, super1, or a folder. Received: x"
    ):
        open_dataset("x")
    with pytest.raises(ValueError, match=r"images/ with train.csv, train/ and val/ .* Received: "):
        open_dataset(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"must hold the dataset. Received: no such folder"):
        open_dataset("emps", data=tmp_path)
    with pytest.raises(ValueError, match=r"one of val, train, all. Received: 'test'"):
        Dataset("d", [], [], "").part("test")


@pytest.mark.shared
def test_the_real_layouts(shared):
    emps = open_dataset("emps", data=shared / "data")
    assert [len(emps.train), len(emps.val)] == [293, 73]
    assert not {e.group for e in emps.train} & {e.group for e in emps.val}
    super1 = open_dataset(shared / "data" / "super1")
    assert [len(super1.train), len(super1.val)] == [10, 4]
