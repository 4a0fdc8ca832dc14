"""``temzoo.saved``: which file is the micrograph that was predicted."""

import os
import shutil

import numpy as np
import pytest

from temzoo.core.types import Micrograph, Prediction
from temzoo.data.synthetic.synthesize import write_tiff
from temzoo.store import predictions, sidecar, sources

EMPTY = np.zeros((20, 30), np.int32)


def picture(path, value, shape=(20, 30)):
    """Micrographs of one shape are files of one size, whatever they show."""
    write_tiff(path, Micrograph(np.full(shape, value, np.uint8)))
    return path


def predicted(source, folder, *, name=None):
    """What the sidecar of a prediction of ``source`` says."""
    prediction = Prediction(EMPTY.astype(np.uint8), EMPTY, name=name or source.name)
    paths = predictions.save(prediction, folder, origin=sidecar.Origin(source=source))
    return sidecar.about(paths["sidecar"])


@pytest.fixture
def source(tmp_path):
    return picture(tmp_path / "images" / "a.tif", 7)


@pytest.fixture
def told(source, tmp_path):
    return predicted(source, tmp_path / "predictions")


def test_the_file_where_it_was_is_the_source(source, told):
    assert sources.source_of(told) == source
    os.utime(source, (5, 5))  # touched, with the same bytes
    assert sources.source_of(told) == source


def test_a_file_of_the_same_size_is_not_the_source(source, told):
    size = source.stat().st_size
    picture(source, 9)
    os.utime(source, (5, 5))
    assert source.stat().st_size == size
    assert sources.source_of(told) is None
    micrograph, why = sources.load_source(told)
    assert micrograph is None
    assert why.startswith("The micrograph is not where it was when it was predicted, or has")


def test_of_equal_names_in_subfolders_the_predicted_one_is_found(source, told, tmp_path):
    picture(tmp_path / "moved" / "z" / "a.tif", 9)
    right = tmp_path / "moved" / "m" / "a.tif"
    right.parent.mkdir()
    picture(tmp_path / "moved" / "b" / "a.tif", 8)
    source.rename(right)
    assert sources.source_of(told, sources.sources_in(tmp_path / "moved")) == right


def test_another_file_of_that_stem_does_not_win_over_the_source(source, told, tmp_path):
    picture(tmp_path / "other" / "a.tiff", 9)
    picture(tmp_path / "other" / "a.tif", 9)
    assert sources.source_of(told, sources.sources_in(tmp_path / "other")) == source
    source.unlink()
    assert sources.source_of(told, sources.sources_in(tmp_path / "other")) is None


def test_a_micrograph_under_another_suffix_is_found_by_its_stem(source, told, tmp_path):
    (tmp_path / "moved").mkdir()
    source.rename(tmp_path / "moved" / "a.tiff")
    found = sources.source_of(told, sources.sources_in(tmp_path / "moved"))
    assert found == tmp_path / "moved" / "a.tiff"


def test_without_a_hash_names_must_tell_micrographs_apart(told, tmp_path):
    unknown = {**told, "source": None, "source_sha256": None, "source_bytes": None}
    assert sources.source_of(unknown) is None
    first = picture(tmp_path / "moved" / "1" / "a.tif", 1)
    assert sources.source_of(unknown, sources.sources_in(tmp_path / "moved")) == first
    picture(tmp_path / "moved" / "2" / "a.tif", 2)
    with pytest.raises(ValueError, match=r"names of images must differ. Received: .*a.tif.*a.tif"):
        sources.source_of(unknown, sources.sources_in(tmp_path / "moved"))


def test_without_a_hash_a_path_that_a_sidecar_names_is_not_followed(source, told):
    assert sources.source_of({**told, "source_sha256": None}) is None


@pytest.mark.parametrize("name", ["../images/a.tif", "..", "", "x\\..\\a", "/a", "a\0.tif"])
def test_a_name_cannot_leave_the_folder_of_images(name, told, tmp_path):
    (tmp_path / "empty").mkdir()
    told = {**told, "name": name, "source": None, "source_sha256": None}
    micrograph, why = sources.load_source(told, sources.sources_in(tmp_path / "empty"))
    assert micrograph is None
    assert "not where it was" in why


def test_a_damaged_source_is_a_word_without_folders(source, told, tmp_path):
    source.write_bytes(b"damaged")
    told = {**told, "source_bytes": 7, "source_mtime_ns": source.stat().st_mtime_ns}
    micrograph, why = sources.load_source(told)
    assert micrograph is None
    assert why.startswith("The micrograph could not be read: a.tif")
    assert str(tmp_path) not in why


def test_a_micrograph_of_another_size_is_another_one(told, tmp_path):
    picture(tmp_path / "moved" / "a.tif", 1, shape=(4, 6))
    unknown = {**told, "source": None, "source_sha256": None}
    micrograph, why = sources.load_source(unknown, sources.sources_in(tmp_path / "moved"))
    assert micrograph is None
    assert why == "a.tif is 6 × 4 px, not 30 × 20: another micrograph than was predicted."


def test_the_frame_of_a_stack_is_the_one_that_was_predicted(tmp_path):
    import tifffile

    stack = tmp_path / "images" / "stack.tif"
    stack.parent.mkdir()
    frames = np.arange(3 * 600, dtype=np.uint16).reshape(3, 20, 30)
    tifffile.imwrite(stack, frames, photometric="minisblack")
    told = {**predicted(stack, tmp_path / "p", name="stack_2.tif"), "frame": 2}
    assert (sources.load_source(told)[0].pixels == frames[2]).all()
    assert (sources.load_source({**told, "frame": 0})[0].pixels == frames[0]).all()
    shutil.move(stack.parent, tmp_path / "moved")
    moved = sources.sources_in(tmp_path / "moved")
    assert (sources.load_source(told, moved)[0].pixels == frames[2]).all()
    micrograph, why = sources.load_source({**told, "frame": 9}, moved)
    assert micrograph is None
    assert "could not be read" in why
