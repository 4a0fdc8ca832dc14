"""Nion Swift's ndata1, TIA's pairs of emi and ser, and EER, which is refused by its name."""

import io
import json
import zipfile

import numpy as np
import pytest
import tifffile
from test_info import told
from test_microscope_files import _dm_image, write_dm, write_ser

from temzoo.micrographs import (
    MicrographError,
    count_frames,
    image_size,
    iter_frames,
    list_images,
    load_micrograph,
)
from temzoo.micrographs.listing import files_of, image_paths

STACK = np.random.default_rng(0).integers(0, 30_000, (3, 20, 30), dtype=np.int16)
NM = {"offset": -9.0, "scale": 0.5, "units": "nm"}, {"offset": 0, "scale": 250.0, "units": "pm"}


def write_ndata(path, data, calibrations=None, *, compression=zipfile.ZIP_STORED, **told):
    """As Nion Swift exports it."""
    array = io.BytesIO()
    np.save(array, data)
    if calibrations is not None:
        told["spatial_calibrations"] = list(calibrations)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("metadata.json", json.dumps({"version": 1, **told}))
        archive.writestr("data.npy", array.getvalue())
    return path


SEQUENCE = {"is_sequence": True, "collection_dimension_count": 0, "datum_dimension_count": 2}


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["int16", ">f4", "float64"])
def test_ndata_frames_and_pixel_size_are_those_that_were_written(
    tmp_path, compression, order, dtype
):
    data = np.asarray(STACK.astype(dtype), order=order)
    axes = [{"scale": 2.0, "units": "s"}, *NM]
    path = write_ndata(tmp_path / "a.ndata1", data, axes, compression=compression, **SEQUENCE)
    assert (count_frames(path), image_size(path)) == (3, (20, 30))
    frames = list(iter_frames(path))
    assert np.array_equal([frame.pixels for frame in frames], STACK)
    assert frames[2].pixels.dtype == np.dtype(dtype).newbyteorder("=")
    assert frames[2].nm_per_pixel == pytest.approx((0.5, 0.25))
    assert np.array_equal(load_micrograph(path, frame=1).pixels, STACK[1])
    assert [path.name for path in list_images(tmp_path)] == ["a.ndata1"]


def test_ndata_is_told_of(tmp_path):
    path = write_ndata(tmp_path / "a.ndata1", STACK[0], NM, datum_dimension_count=2)
    assert told(path)[1:] == [
        "format  Nion Swift",
        "size    20 x 30 px (rows x columns)",
        f"values  int16, from {STACK[0].min()} to {STACK[0].max()}",
        "frames  1",
        "pixel   0.5 x 0.25 nm (row x column) (Nion Swift header)",
    ]
    write_ndata(path, STACK[0], [{"scale": 0.1, "units": "1/nm"}] * 2)
    assert told(path)[-2:] == [
        "pixel   no calibration",
        "note    spatial_calibrations: units of 1/nm, which is no size of a pixel",
    ]
    write_ndata(path, STACK[0], NM[:1])
    assert told(path)[-1] == "note    its spatial_calibrations are not one a dimension of 2"


@pytest.mark.parametrize("calibrations", [None, [{}, {}], [{"scale": "x", "units": "nm"}] * 2])
def test_ndata_without_lengths_is_uncalibrated(tmp_path, calibrations):
    path = write_ndata(tmp_path / "a.ndata1", STACK[0], calibrations)
    assert load_micrograph(path).nm_per_pixel is None


@pytest.mark.parametrize("channels", [3, 4])
def test_ndata_colours_are_stored_blue_first(tmp_path, channels):
    colours = np.random.default_rng(0).integers(0, 255, (20, 30, channels), dtype=np.uint8)
    path = write_ndata(tmp_path / "a.ndata1", colours, NM)
    assert np.array_equal(load_micrograph(path).pixels, colours[..., 2::-1])
    assert load_micrograph(path).nm_per_pixel == pytest.approx((0.5, 0.25))


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((3, 20, 30), {}),  # a spectrum image, as Nion Swift takes it
        ((20, 30), {"collection_dimension_count": 1, "datum_dimension_count": 1}),
        ((20, 30), {"is_sequence": True}),
        ((30,), {}),
        ((2, 2, 20, 30), {"collection_dimension_count": 2, "datum_dimension_count": 2}),
    ],
)
def test_ndata_of_spectra_and_diffraction_patterns_is_refused(tmp_path, shape, told):
    path = write_ndata(tmp_path / "a.ndata1", np.zeros(shape, np.float32), **told)
    with pytest.raises(MicrographError, match=r"a\.ndata1: must hold an image or a stack.*shape"):
        load_micrograph(path)


def test_ndata_never_reads_pickles(tmp_path):
    path = write_ndata(tmp_path / "a.ndata1", np.array([[print]], dtype=object))
    with pytest.raises(MicrographError, match=r"a\.ndata1: .*Python objects, which are not read"):
        load_micrograph(path)


def test_ndata_whose_parts_do_not_agree_is_refused(tmp_path):
    path = write_ndata(tmp_path / "a.ndata1", STACK, datum_dimension_count=5)
    with pytest.raises(MicrographError, match="metadata tell of 7 dimensions, its array has 3"):
        load_micrograph(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.npy", b"")
    with pytest.raises(MicrographError, match=r"it has no metadata\.json in it"):
        load_micrograph(path)


@pytest.mark.parametrize("version", [(2, 0), (3, 0)])
def test_ndata_has_an_array_of_version_1_or_2(tmp_path, version):
    array = io.BytesIO()
    np.lib.format.write_array(array, STACK[0], version)
    with zipfile.ZipFile(tmp_path / "a.ndata1", "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("data.npy", array.getvalue())
    if version == (2, 0):
        assert np.array_equal(load_micrograph(tmp_path / "a.ndata1").pixels, STACK[0])
        return
    with pytest.raises(MicrographError, match=r"its array is of version \(3, 0\)"):
        load_micrograph(tmp_path / "a.ndata1")


def test_ndata_whose_metadata_are_no_object_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.ndata1", "w") as archive:
        archive.writestr("metadata.json", "[]")
        archive.writestr("data.npy", b"")
    with pytest.raises(MicrographError, match=r"its metadata\.json is no object"):
        load_micrograph(tmp_path / "a.ndata1")


def test_ndata_that_promises_more_than_it_holds_is_refused_without_taking_memory(tmp_path):
    path = tmp_path / "a.ndata1"
    array = io.BytesIO()
    huge = {"descr": "<f8", "fortran_order": False, "shape": (2**15, 2**15)}
    np.lib.format.write_array_header_1_0(array, huge)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("data.npy", array.getvalue() + bytes(100))
    with pytest.raises(
        MicrographError, match=r"promises 8,589,934,592 bytes of pixels and has 100"
    ):
        load_micrograph(path)


def pair(folder, stem="a", series=1):
    (folder / f"{stem}.emi").write_bytes(b"JZ" + bytes(100) + b"<ObjectInfo></ObjectInfo>")
    for k in range(1, series + 1):
        write_ser(folder / f"{stem}_{k}.ser", STACK[:2] + k)
    return folder / f"{stem}.emi"


def test_an_emi_file_stands_for_its_ser(tmp_path):
    emi = pair(tmp_path)
    write_ser(tmp_path / "ab_1.ser", STACK[:1])  # of another
    assert (count_frames(emi), image_size(emi)) == (2, (20, 30))
    loaded = load_micrograph(emi, frame=1)
    assert np.array_equal(loaded.pixels, STACK[1] + 1)
    assert loaded.nm_per_pixel == pytest.approx((2, 1))
    assert loaded.name == "a.emi"
    assert told(emi)[-3:] == [
        "frames  2, of which this is the first",
        "pixel   2 x 1 nm (row x column) (TIA series header)",
        "note    its images are in a_1.ser",
    ]


def test_all_ser_files_of_an_emi_are_counted_in_their_order(tmp_path):
    emi = pair(tmp_path, "a [1]", series=11)  # "_10" sorts before "_2", and brackets are a glob's
    frames = list(iter_frames(emi))
    assert [int(frame.pixels[0, 0] - STACK[k % 2, 0, 0]) for k, frame in enumerate(frames)] == [
        1 + k // 2 for k in range(22)
    ]
    assert len(files_of(emi)) == 12


def test_a_folder_with_a_pair_holds_one_micrograph(tmp_path):
    pair(tmp_path, series=2)
    assert [path.name for path in list_images(tmp_path)] == ["a_1.ser", "a_2.ser"]
    assert [path.name for path in image_paths([tmp_path])] == ["a_1.ser", "a_2.ser"]


def test_an_emi_file_alone_says_which_files_it_lacks(tmp_path):
    emi = pair(tmp_path, series=0)
    assert list_images(tmp_path) == [emi]
    with pytest.raises(MicrographError, match=r"a\.emi: .*a_1\.ser and so on.*none.*Copy them"):
        load_micrograph(emi)


@pytest.mark.parametrize("suffix", [".dm3", ".dm4"])
def test_a_gatan_stack_is_told_of_with_its_frames(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_dm(path, _dm_image(STACK, (0.1, 2, 1), ("s", "nm", "nm")))
    assert "frames  3, of which this is the first" in told(path)
    assert "pixel   2 x 1 nm (row x column) (Digital Micrograph header)" in told(path)
    write_dm(path, _dm_image(STACK[:1], (0.1, 2, 1), ("", "nm", "nm")))
    assert count_frames(path) == 1
    assert np.array_equal(load_micrograph(path).pixels, STACK[0])


def test_eer_is_refused_with_what_to_do(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK[0])
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
        tiff.pages.first.tags["Compression"].overwrite(65001)
    (tmp_path / "b.eer").write_bytes((tmp_path / "a.tif").read_bytes())
    for name in ("a.tif", "b.eer"):
        with pytest.raises(MicrographError, match=rf"{name}: .*EER, .* Sum them to an MRC"):
            load_micrograph(tmp_path / name)


@pytest.mark.parametrize("suffix", [".dm3", ".dm4"])
def test_colours_of_nion_swift_in_dm_files_are_named(tmp_path, suffix):
    pytest.importorskip("rsciio")
    image = _dm_image(np.zeros((6, 8, 4), np.uint8), (1, 1), ("nm", "nm"), "colour")
    del image["ImageData"]["Calibrations"]["Dimension"]  # as nionswift-io 15.5 leaves them out
    write_dm(tmp_path / f"a{suffix}", image)
    says = rf"a{suffix}: each axis must have a calibration .* Export it there as \.ndata1 or TIFF"
    with pytest.raises(MicrographError, match=says):
        load_micrograph(tmp_path / f"a{suffix}")
