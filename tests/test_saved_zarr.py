"""Labels as OME-Zarr, inside their image with its axes and scale or alone; and as zspy."""

import numpy as np
import pytest

import temzoo
from temzoo.micrographs.zarr_file import attributes_of

zarr = pytest.importorskip("zarr", reason="temzoo[zarr] is not installed")
da = pytest.importorskip("dask.array", reason="temzoo[zarr] is not installed")
from test_ome_zarr import STACK, write_ome_zarr  # noqa: E402

LABELS = np.arange(1800, dtype=np.int64).reshape(3, 20, 30)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_lie_in_their_image_with_its_axes_and_scale(tmp_path, version):
    path = write_ome_zarr(tmp_path / "a.ome.zarr", version=version)
    image = attributes_of(zarr.open_group(path))["multiscales"][0]
    for name in ("instances", "classes"):
        where = temzoo.save_ome_zarr(da.from_array(LABELS, chunks=(1, 7, 11)), path, name=name)
        assert where == path / "labels" / name
    assert attributes_of(zarr.open_group(path / "labels"))["labels"] == ["instances", "classes"]
    group = zarr.open_group(where)
    told = attributes_of(group)
    assert told["image-label"]["source"] == {"image": "../../"}
    assert told["multiscales"][0]["axes"] == image["axes"]
    np.testing.assert_array_equal(group["0"][:], LABELS)
    names = [axis["name"] for axis in image["axes"]]  # version 0.5 asks for them in the array
    assert list(getattr(group["0"].metadata, "dimension_names", names)) == names
    assert (told if version == "0.5" else told["multiscales"][0])["version"] == version
    found = temzoo.load_micrograph(where, frame=1)
    assert found.nm_per_pixel == temzoo.load_micrograph(path).nm_per_pixel
    np.testing.assert_array_equal(temzoo.load_micrograph(path, frame=2).pixels, STACK[2])


def test_labels_alone_have_the_scale_that_is_given(tmp_path):
    path = temzoo.save_ome_zarr(LABELS[0], tmp_path / "a.zarr", nm_per_pixel=(2.0, 1.5))
    found = temzoo.load_micrograph(path)
    assert found.nm_per_pixel == (2.0, 1.5)
    np.testing.assert_array_equal(found.pixels, LABELS[0])
    stack = temzoo.load_micrograph(temzoo.save_ome_zarr(LABELS, tmp_path / "b.zarr"), frame=2)
    assert stack.nm_per_pixel is None
    np.testing.assert_array_equal(stack.pixels, LABELS[2])


def test_what_would_be_no_label_image_is_refused(tmp_path):
    path = write_ome_zarr(tmp_path / "a.ome.zarr")
    with pytest.raises(ValueError, match=r"Received: float64 of shape \(20, 30\), 'instances'"):
        temzoo.save_ome_zarr(LABELS[0] / 2, path)
    with pytest.raises(ValueError, match=r"Received: .* '\.\./a'"):
        temzoo.save_ome_zarr(LABELS, path, name="../a")
    with pytest.raises(ValueError, match=r"Received: \(20, 30\) for \(3, 20, 30\)"):
        temzoo.save_ome_zarr(LABELS[0], path)
    temzoo.save_ome_zarr(LABELS, path)
    with pytest.raises(FileExistsError, match=r"Received: instances, which .* has"):
        temzoo.save_ome_zarr(LABELS, path)
    with pytest.raises(FileExistsError, match="which is neither"):
        temzoo.save_ome_zarr(LABELS, tmp_path)


def test_a_zspy_holds_labels_with_their_scale_as_hyperspy_lays_them_out(tmp_path):
    blocks = da.from_array(LABELS, chunks=(1, 7, 11))
    path = temzoo.save_zspy(blocks, tmp_path / "a.zspy", nm_per_pixel=(2.0, 1.5))
    frame = temzoo.load_micrograph(path, frame=1)
    assert frame.nm_per_pixel == (2.0, 1.5)
    np.testing.assert_array_equal(frame.pixels, LABELS[1])
    assert (path / "Experiments/instances/data/2/0/0").is_file()
    root = zarr.open_group(path, mode="r")
    assert root.metadata.zarr_format == 2
    assert root.attrs["file_format_version"] == "3.3"
    signal = root["Experiments/instances"]
    axes = [signal[f"axis-{axis}"].attrs for axis in range(3)]
    assert [axis["name"] for axis in axes] == ["frame", "y", "x"]
    assert [axis["navigate"] for axis in axes] == [True, False, False]
    alone = temzoo.load_micrograph(temzoo.save_zspy(LABELS[0], tmp_path / "b.zspy", name="grains"))
    assert alone.nm_per_pixel is None
    np.testing.assert_array_equal(alone.pixels, LABELS[0])


def test_a_zspy_is_new_and_named_so(tmp_path):
    with pytest.raises(ValueError, match=r"by the name's end \.zspy\. Received: .*a\.zarr"):
        temzoo.save_zspy(LABELS, tmp_path / "a.zarr")
    with pytest.raises(ValueError, match="Received: float64 of shape"):
        temzoo.save_zspy(LABELS / 2, tmp_path / "a.zspy")
    temzoo.save_zspy(LABELS, tmp_path / "a.zspy")
    with pytest.raises(FileExistsError):
        temzoo.save_zspy(LABELS, tmp_path / "a.zspy")
    assert [each.name for each in tmp_path.iterdir()] == ["a.zspy"]
