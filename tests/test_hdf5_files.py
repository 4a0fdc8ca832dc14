"""A dataset of an HDF5 or NeXus file, named behind it: a.h5::/entry/data/data."""

import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from test_info import told
from typer.testing import CliRunner

from temzoo import cli
from temzoo.micrographs import (
    MicrographError,
    count_frames,
    frame_name,
    image_size,
    iter_frames,
    list_images,
    load_micrograph,
    whole_picture,
)
from temzoo.micrographs.hdf5_file import name_of, parted
from temzoo.micrographs.listing import image_paths, own_names
from temzoo.store.sidecar import Origin, made
from temzoo.store.sources import source_of
from temzoo.workflows.prediction_job import named_images

STACK = np.random.default_rng(0).integers(0, 30_000, (3, 20, 30), dtype=np.int16)


def write_nexus(path, data=STACK, units=("nm", "um"), steps=(2.0, 1e-3), **how):
    """NXdata with an axis for each dimension; returns the dataset as it is named."""
    with h5py.File(path, "w") as file:
        group = file.create_group("entry/data")
        group.attrs["signal"] = "data"
        names = ["t", "y", "x"][-data.ndim :]
        group.attrs["axes"] = names
        group.create_dataset("data", data=data, **how)
        for name, unit, step, length in zip(names[-2:], units, steps, data.shape[-2:], strict=True):
            group[name] = 5 + step * np.arange(length)
            group[name].attrs["units"] = unit
        group["t" if data.ndim == 3 else "unused"] = np.arange(3.0)
        file["entry/link"] = h5py.SoftLink("/entry/data")
    return f"{path}::/entry/data/data"


@pytest.mark.parametrize(
    "how", [{}, {"chunks": (2, 8, 8), "compression": "gzip", "shuffle": True}, {"chunks": True}]
)
def test_frames_and_pixel_size_are_those_that_were_written(tmp_path, how):
    path = write_nexus(tmp_path / "a.h5", **how)
    assert (count_frames(path), image_size(path)) == (3, (20, 30))
    frames = list(iter_frames(path))
    assert np.array_equal([frame.pixels for frame in frames], STACK)
    assert frames[0].nm_per_pixel == pytest.approx((2, 1))
    names = [frame.name for frame in frames]
    assert names == [f"a_entry_data_data_{k}.h5" for k in range(3)]
    assert np.array_equal(load_micrograph(f"{tmp_path}/a.h5::entry/link/data").pixels, STACK[0])


def test_a_dataset_is_told_of(tmp_path):
    path = write_nexus(tmp_path / "a.nxs")
    assert told(path) == [
        path,
        "format  HDF5",
        "size    20 x 30 px (rows x columns)",
        f"values  int16, from {STACK[0].min()} to {STACK[0].max()}",
        "frames  3, of which this is the first",
        "pixel   2 x 1 nm (row x column) (HDF5 header)",
        "note    pixel size from the axes y and x",
        "note    of shape (3, 20, 30), its first axis counts the frames",
    ]


def test_a_file_alone_says_which_datasets_it_has(tmp_path):
    write_nexus(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["other"] = np.zeros((4, 5), np.uint8)
        file["text"], file["cube"] = "no image", np.zeros((1, 2, 3, 4))
    names = r"a\.h5::/entry/data/data \(3, 20, 30\) int16, a\.h5::/other \(4, 5\) uint8\."
    with pytest.raises(MicrographError, match=rf"a\.h5: .*must be named\. .*It holds {names}"):
        load_micrograph(tmp_path / "a.h5")
    for wrong in ("/nowhere", "/entry/data/data/more"):
        with pytest.raises(MicrographError, match=rf"there must be such.*{wrong}.*{names}"):
            load_micrograph(f"{tmp_path}/a.h5::{wrong}")
    for wrong, what in (("/entry", "a group"), ("/cube", r"shape \(1, 2, 3, 4\), float64")):
        with pytest.raises(MicrographError, match=rf"must be an image.*Received: {what}.*{names}"):
            load_micrograph(f"{tmp_path}/a.h5::{wrong}")
    result = CliRunner().invoke(cli.app, ["info", f"{tmp_path}/a.h5::/other"])
    assert result.exit_code == 0
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["text"] = "no image"
    with pytest.raises(MicrographError, match="It holds no dataset of 2 or 3 dimensions"):
        load_micrograph(tmp_path / "b.h5")


def test_hdf5_laid_out_otherwise_as_emd_names_its_datasets_too(tmp_path):
    write_nexus(tmp_path / "a.h5")
    emd = (tmp_path / "a.h5").rename(tmp_path / "a.emd")
    with pytest.raises(MicrographError, match=r"laid out as EMD.*a\.emd::/entry/data/data"):
        load_micrograph(emd)
    assert np.array_equal(load_micrograph(f"{emd}::/entry/data/data").pixels, STACK[0])


def test_only_hdf5_has_datasets(tmp_path):
    np.save(tmp_path / "a.npy", STACK[0])
    with pytest.raises(MicrographError, match=r"only a dataset of HDF5.*NumPy array\. Name the f"):
        load_micrograph(f"{tmp_path}/a.npy::/data")
    np.save(tmp_path / "a::b.npy", STACK[0])
    assert load_micrograph(tmp_path / "a::b.npy").name == "a::b.npy"
    with pytest.raises(FileNotFoundError, match=r"a\.np: there is no such file\. Did you mean a\."):
        load_micrograph(f"{tmp_path}/a.np::/data")


def test_names_of_datasets_differ(tmp_path):
    path = write_nexus(tmp_path / "a.h5")
    assert parted(path) == (tmp_path / "a.h5", "/entry/data/data")
    assert name_of(path) == "a_entry_data_data.h5"
    assert frame_name(path, 1, 3) == "a_entry_data_data_1.h5"
    other = tmp_path / "a.h5::/entry/data/other"
    names = own_names([tmp_path / "a.h5::/entry/data/data", other]).values()
    assert list(names) == ["a_entry_data_data.h5", "a_entry_data_other.h5"]
    assert list_images(tmp_path) == []


def test_a_folder_of_hdf5_files_alone_says_that_a_dataset_is_to_be_named(tmp_path):
    write_nexus(tmp_path / "a.h5")
    with pytest.raises(FileNotFoundError, match=r"no images in .*Of .*a\.h5 name a dataset"):
        image_paths([tmp_path])


def test_a_prediction_finds_its_dataset_again(tmp_path):
    path = Path(write_nexus(tmp_path / "a.h5"))
    said = []
    images = named_images([path], None, said.append)
    assert [image.name for image in images] == [f"a_entry_data_data_{k}.h5" for k in range(3)]
    assert said[0].startswith("a_entry_data_data.h5: 3 images, all of them")
    assert np.array_equal(images[2].load().pixels, STACK[2])
    told = made(Origin(source=path, frame=2)) | {"name": images[2].name}
    assert source_of(told) == path
    write_nexus(tmp_path / "a.h5", STACK + 1)
    assert source_of(told) is None


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (
            {"units": ("1/nm", "1/nm")},
            "the axes y and x: units of 1/nm, which is no size of a pixel",
        ),
        ({"units": ("", "")}, None),
        ({"steps": (0.0, 1.0)}, "the axes y and x: 0 x 1000 nm, which is no size of a pixel"),
    ],
)
def test_axes_that_are_no_lengths_are_no_calibration(tmp_path, change, note):
    path = write_nexus(tmp_path / "a.h5", STACK[0], **change)
    assert load_micrograph(path).nm_per_pixel is None
    assert note is None or f"note    {note}" in told(path)


def test_axes_that_do_not_fit_are_no_calibration(tmp_path):
    path = write_nexus(tmp_path / "a.h5", STACK[0])
    for values, why in (
        (np.arange(20.0) ** 2, "is not evenly spaced"),
        (np.arange(7.0), "has 7 numbers for 20 pixels"),
        (np.zeros((2, 2)), "is no list of numbers"),
        (None, "is not in the file"),
    ):
        with h5py.File(tmp_path / "a.h5", "r+") as file:
            del file["entry/data/y"]
            if values is not None:
                file["entry/data/y"] = values
        assert f"note    the axis y {why}, so it is no size of a pixel" in told(path)
        if values is None:
            break
        assert load_micrograph(path).nm_per_pixel is None


def test_the_size_of_fijis_hdf5(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["t0"] = STACK
        file["t0"].attrs["element_size_um"] = [1.0, 2e-3, 5e-4]
    loaded = load_micrograph(f"{tmp_path}/a.h5::/t0")
    assert loaded.nm_per_pixel == pytest.approx((2, 0.5))


def test_a_last_axis_of_three_are_colours(tmp_path):
    colours = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"] = colours
    path = f"{tmp_path}/a.h5::a"
    assert (count_frames(path), image_size(path)) == (1, (20, 30))
    assert np.array_equal(load_micrograph(path).pixels, colours)
    assert "note    of shape (20, 30, 3), its last axis are colours" in told(path)


def test_what_lies_in_other_files_is_refused(tmp_path):
    write_nexus(tmp_path / "a.h5", STACK[0])
    layout = h5py.VirtualLayout((20, 30), np.int16)
    layout[:] = h5py.VirtualSource(str(tmp_path / "a.h5"), "entry/data/data", (20, 30))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["out"] = h5py.ExternalLink(str(tmp_path / "a.h5"), "/entry/data/data")
        file["over"] = h5py.SoftLink("/out")
        file["round"] = h5py.SoftLink("/round")
        file.create_virtual_dataset("virtual", layout)
        external = [(str(tmp_path / "raw"), 0, 1200)]
        file.create_dataset("raw", (20, 30), np.int16, external=external)
    for name, message in (
        ("out", r"a link to .*a\.h5.*a\.h5::/entry/data/data"),
        ("over", "a link to"),
        ("virtual", "pixels of other files"),
        ("raw", "pixels of other files"),
        ("round", "round in circles"),
    ):
        with pytest.raises(MicrographError, match=rf"b\.h5::/{name}: .*{message}"):
            load_micrograph(f"{tmp_path}/b.h5::/{name}")


def test_frames_that_were_never_written_are_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        movie = file.create_dataset("movie", (5, 20, 30), np.int16, chunks=(2, 10, 30))
        movie[:2] = STACK[:2]
        file.create_dataset("none", (20, 30), np.int16)
    frames = iter_frames(f"{tmp_path}/a.h5::/movie")
    assert np.array_equal([next(frames).pixels, next(frames).pixels], STACK[:2])
    with pytest.raises(MicrographError, match="2 of 2 chunks of frame 2 were never written"):
        next(frames)
    with pytest.raises(MicrographError, match="its pixels were never written"):
        load_micrograph(f"{tmp_path}/a.h5::/none")


def test_a_chunk_that_inflates_beyond_its_size_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(whole_picture, "SPARE", 2**20)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("a", (64, 64), np.uint8, chunks=(64, 64), compression="gzip")
        data.id.write_direct_chunk((0, 0), zlib.compress(bytes(2**26), 1))
    with pytest.raises(MicrographError, match="promises 4,096 bytes of pixels and has more"):
        load_micrograph(f"{tmp_path}/a.h5::a")


def test_large_datasets_are_refused_by_their_size_before_their_pixels(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", (2**18, 2**18), np.int16, chunks=(2**10, 2**10))
    with pytest.raises(MicrographError, match="at most 1,073,741,824 pixels"):
        load_micrograph(f"{tmp_path}/a.h5::a")


def test_filters_that_are_not_installed_are_named(tmp_path, monkeypatch):
    path = write_nexus(tmp_path / "a.h5", chunks=(1, 20, 30), compression="lzf")
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: False)
    with pytest.raises(MicrographError, match=r"Received: filter 32000 \(lzf\)\. Save it with g"):
        load_micrograph(path)


@pytest.mark.parametrize(("first", "steps"), [(0, True), (1, False)])
def test_a_group_of_emd_states_the_size_of_a_pixel_by_its_dims(tmp_path, first, steps):
    # emdfile 0.0.16 counts from dim0 and writes the first two numbers, ncempy from dim1 and all.
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("root/image")
        group.attrs["emd_group_type"] = "array" if steps else 1
        group["data"] = STACK
        for axis, (step, unit) in enumerate(((1.0, "s"), (20.0, "A"), (1.5, "nm"))):
            numbers = step * np.arange(2 if steps else STACK.shape[axis])
            dim = group.create_dataset(f"dim{first + axis}", data=numbers)
            dim.attrs["units"] = unit
    micrograph = load_micrograph(f"{tmp_path}/a.h5::/root/image/data", frame=1)
    assert np.array_equal(micrograph.pixels, STACK[1])
    assert micrograph.nm_per_pixel == pytest.approx((2, 1.5))


def write_hspy(path, data=STACK, navigate=(True, False, False), units=("s", "µm", "nm")):
    """As HyperSpy 2.5 and RosettaSciIO 0.15 lay it out."""
    with h5py.File(path, "w") as file:
        signal = file.create_group("Experiments/film")
        signal["data"] = data
        for axis, (moves, unit) in enumerate(zip(navigate, units, strict=True)):
            told = {"navigate": moves, "scale": (1.0, 2e-3, 1.5)[axis], "units": unit}
            signal.create_group(f"axis-{axis}").attrs.update(told)
    return path


def test_a_hspy_is_read_by_frames_with_its_size_of_a_pixel(tmp_path):
    path = write_hspy(tmp_path / "a.hspy")
    frames = list(iter_frames(path))
    assert np.array_equal([frame.pixels for frame in frames], STACK)
    assert frames[0].nm_per_pixel == pytest.approx((2, 1.5))
    assert frames[1].name == "a_1.hspy"
    assert list_images(tmp_path) == [path]
    assert {"format  HyperSpy's HDF5", "note    pixel size from its axes"} <= {*told(path)}
    named = load_micrograph(f"{path}::/Experiments/film/data", frame=2)
    assert np.array_equal(named.pixels, STACK[2])
    assert named.nm_per_pixel == pytest.approx((2, 1.5))


def test_a_hspy_of_two_signals_takes_the_first_and_of_no_length_no_scale(tmp_path):
    path = write_hspy(tmp_path / "a.hspy", STACK[0], (False, False), ("1/nm", "1/nm"))
    with h5py.File(path, "a") as file:
        file["Experiments/second/data"] = STACK
    assert load_micrograph(path).nm_per_pixel is None
    said = " ".join(told(path))
    assert "its first signal, film, of 2" in said
    assert "units of 1/nm, which is no size of a pixel" in said


@pytest.mark.parametrize("navigate", [(True, True, False), (False, True, False), (False,) * 3])
def test_a_hspy_without_images_is_refused(tmp_path, navigate):
    path = write_hspy(tmp_path / "a.hspy", navigate=navigate)
    with pytest.raises(MicrographError, match=r"a signal must be of images.*Make it a Signal2D"):
        load_micrograph(path)
    with h5py.File(path, "w") as file:
        file["other"] = STACK
    with pytest.raises(MicrographError, match=r"must be such a dataset.*a\.hspy::/other"):
        load_micrograph(path)


@pytest.mark.parametrize("signals", [{}, np.zeros((3, 4))])
def test_a_hspy_without_signals_says_so(tmp_path, signals):
    with h5py.File(tmp_path / "a.hspy", "w") as file:
        file["Experiments"] = signals if len(signals) else file.create_group("none")
    with pytest.raises(MicrographError, match=r"must hold signals in its group Experiments"):
        load_micrograph(tmp_path / "a.hspy")
