"""OME-Zarr, versions 0.4 and 0.5: pixels, frames and nanometres as they were written."""

import json
import logging
import shutil
import sys
import zlib

import numpy as np
import pytest
from test_info import told

from temzoo.micrographs import (
    MicrographError,
    MissingReaderError,
    count_frames,
    image_size,
    iter_frames,
    list_images,
    load_micrograph,
    whole_picture,
)
from temzoo.micrographs.listing import files_of, image_paths
from temzoo.store.sidecar import file_hash, stamp

zarr = pytest.importorskip("zarr", reason="temzoo[zarr] is not installed")

STACK = np.random.default_rng(0).integers(0, 30_000, (3, 20, 30), dtype=np.uint16)
VERSIONS = ("0.4", "0.5")
UNITS = {"y": "micrometer", "x": "nanometer", "z": "nanometer"}
SCALES = {"y": 2e-3, "x": 1.0, "z": 5.0}


def write_ome_zarr(path, data=STACK, version="0.5", axes="tyx", units=UNITS, **how):
    """An image of two levels, as the specification has it."""
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    for level in range(2):
        small = data[..., :: 2**level, :: 2**level]
        how.setdefault("chunks", (*[1] * (data.ndim - 2), 8, 16))
        group.create_array(str(level), shape=small.shape, dtype=data.dtype, **how)[:] = small
    kinds = {"t": "time", "c": "channel"}
    described = [
        {"name": name, "type": kinds.get(name, "space"), "unit": units.get(name)} for name in axes
    ]
    described = [{k: v for k, v in axis.items() if v} for axis in described]
    scale = [SCALES.get(name, 1.0) / 2 for name in axes]
    levels = [
        {
            "path": str(level),
            "coordinateTransformations": [
                {"type": "scale", "scale": [s * 2**level for s in scale]}
            ],
        }
        for level in range(2)
    ]
    whole = [{"type": "scale", "scale": [2.0] * len(axes)}]
    image = {"axes": described, "datasets": levels, "coordinateTransformations": whole}
    if version == "0.4":
        group.attrs["multiscales"] = [image | {"version": version}]
    else:
        group.attrs["ome"] = {"version": version, "multiscales": [image]}
    return path


@pytest.mark.parametrize("version", VERSIONS)
def test_frames_and_pixel_size_are_those_that_were_written(tmp_path, version):
    path = write_ome_zarr(tmp_path / "a.ome.zarr", version=version)
    assert (count_frames(path), image_size(path)) == (3, (20, 30))
    frames = list(iter_frames(path))
    assert np.array_equal([frame.pixels for frame in frames], STACK)
    assert frames[0].nm_per_pixel == pytest.approx((2, 1))
    assert [frame.name for frame in frames] == [f"a.ome_{k}.zarr" for k in range(3)]
    assert np.array_equal(load_micrograph(path, frame=2).pixels, STACK[2])


@pytest.mark.parametrize("version", VERSIONS)
def test_an_image_is_told_of(tmp_path, version):
    path = write_ome_zarr(tmp_path / "a.zarr", version=version)
    assert told(path)[1:] == [
        "format  OME-Zarr",
        "size    20 x 30 px (rows x columns)",
        f"values  uint16, from {STACK[0].min()} to {STACK[0].max()}",
        "frames  3, of which this is the first",
        "pixel   2 x 1 nm (row x column) (OME-Zarr header)",
        "note    level 0 of 2, 0, of shape (3, 20, 30)",
        "note    its images are counted over t (3)",
    ]


def test_frames_are_counted_over_all_axes_but_rows_and_columns(tmp_path):
    data = np.random.default_rng(0).integers(0, 255, (2, 3, 2, 20, 30), dtype=np.uint8)
    path = write_ome_zarr(tmp_path / "a.zarr", data, axes="tczyx")
    frames = [frame.pixels for frame in iter_frames(path)]
    assert np.array_equal(frames, data.reshape(-1, 20, 30))
    assert "note    its images are counted over t (2), c (3), z (2)" in told(path)


def test_rows_and_columns_are_told_by_their_names(tmp_path):
    path = write_ome_zarr(tmp_path / "a.zarr", STACK[0].T, axes="xy")
    loaded = load_micrograph(path)
    assert np.array_equal(loaded.pixels, STACK[0])
    assert loaded.nm_per_pixel == pytest.approx((2, 1))
    write_ome_zarr(path, STACK[0], axes="zx")
    with pytest.raises(
        MicrographError, match=r"the axes y and x.*Received: axes z, x and an array"
    ):
        load_micrograph(path)


@pytest.mark.parametrize("units", [{}, {"y": "second", "x": "nanometer"}])
def test_without_lengths_there_is_no_calibration(tmp_path, units):
    path = write_ome_zarr(tmp_path / "a.zarr", STACK[0], axes="yx", units=units)
    assert load_micrograph(path).nm_per_pixel is None
    note = "note    its scale: units of second, which is no size of a pixel"
    assert (note in told(path)) == bool(units)


def test_a_folder_of_ome_zarr_is_one_image(tmp_path):
    write_ome_zarr(tmp_path / "day" / "a.ome.zarr")
    np.save(tmp_path / "b.npy", STACK[0])
    (tmp_path / "c.zarr").mkdir()
    np.save(tmp_path / "c.zarr" / "d.npy", STACK[0])  # no Zarr
    names = ["b.npy", "c.zarr/d.npy", "day/a.ome.zarr"]
    assert [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)] == names
    assert image_paths([tmp_path / "day/a.ome.zarr"]) == [tmp_path / "day/a.ome.zarr"]
    with pytest.raises(MicrographError, match="is a folder, not an image"):
        load_micrograph(tmp_path / "day")


def test_a_prediction_knows_its_micrograph_by_all_its_chunks(tmp_path):
    path = write_ome_zarr(tmp_path / "a.zarr")
    size, time = stamp(path)
    before = file_hash(path, size, time)
    chunk = next(each for each in files_of(path) if each.name == "1")
    chunk.write_bytes(bytes(len(chunk.read_bytes())))
    assert stamp(path)[0] == size
    assert file_hash(path, *stamp(path)) != before


def test_images_of_a_plate_or_a_collection_are_named(tmp_path):
    zarr.open_group(tmp_path / "a.zarr", mode="w").create_group("A/1")
    write_ome_zarr(tmp_path / "a.zarr/A/1/0")
    with pytest.raises(MicrographError, match=r"Zarr group without\. Name one .*a\.zarr/A/1/0\."):
        load_micrograph(tmp_path / "a.zarr")
    assert count_frames(tmp_path / "a.zarr/A/1/0") == 3
    with pytest.raises(MicrographError, match=r"Received: a Zarr array without\. Export"):
        load_micrograph(tmp_path / "a.zarr/A/1/0/0")


@pytest.mark.parametrize("version", VERSIONS)
def test_chunks_that_are_not_stored_are_told_of(tmp_path, version):
    path = write_ome_zarr(tmp_path / "a.zarr", STACK[0], version, axes="yx")
    place = path / "0" / ("1.0" if version == "0.4" else "c/1/0")
    place.unlink()
    loaded = load_micrograph(path).pixels
    assert (loaded[8:16, :16] == 0).all()
    assert np.array_equal(loaded[:8], STACK[0, :8])
    assert "note    1 of 6 chunks of a frame are not stored: its pixels there are 0" in told(path)


def test_shards_are_read(tmp_path):
    path = write_ome_zarr(tmp_path / "a.zarr", chunks=(1, 4, 5), shards=(1, 20, 30))
    assert np.array_equal(load_micrograph(path, frame=1).pixels, STACK[1])
    shutil.rmtree(path / "0/c/1")
    assert np.array_equal(load_micrograph(path, frame=0).pixels, STACK[0])


@pytest.mark.parametrize(
    ("codec", "message"),
    [
        (zarr.codecs.BloscCodec(), "a chunk holds 67,108,864 bytes and promises 256"),
        (zarr.codecs.ZstdCodec(), "a chunk holds 67,108,864 bytes and promises 256"),
        (zarr.codecs.GzipCodec(), "promises 256 bytes of pixels and has more"),
    ],
)
def test_a_chunk_that_holds_more_than_it_promises_is_refused(tmp_path, codec, message, monkeypatch):
    monkeypatch.setattr(whole_picture, "SPARE", 2**20)
    path = tmp_path / "a.zarr"
    write_ome_zarr(path, STACK[0], axes="yx", compressors=codec)
    assert np.array_equal(load_micrograph(path).pixels, STACK[0])
    many = np.zeros((2**13, 2**13), np.uint8)
    bomb = zarr.create_array(
        tmp_path / "bomb", shape=many.shape, chunks=many.shape, dtype="u1",
        compressors=codec, config={"write_empty_chunks": True},
    )  # fmt: skip
    bomb[:] = many
    shutil.copy(tmp_path / "bomb/c/0/0", path / "0/c/0/0")
    with pytest.raises(MicrographError, match=rf"a\.zarr: cannot be read as OME-Zarr.*{message}"):
        load_micrograph(path)


def test_zstd_of_no_said_size_is_read(tmp_path):
    path = write_ome_zarr(tmp_path / "a.zarr", np.zeros((8, 16), np.uint8) + 7, axes="yx")
    # Two frames' worth of RFC 8878: one block of one byte repeated, the size not said.
    plain = b"\x28\xb5\x2f\xfd\x00\x58" + (128 << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"\x07"
    (path / "0/c/0/0").write_bytes(plain)
    assert (load_micrograph(path).pixels == 7).all()
    huge = (2**17 << 3 | 1 << 1).to_bytes(3, "little") + b"\x07"
    last = (1 << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"\x07"
    (path / "0/c/0/0").write_bytes(plain[:6] + 100 * huge + last)
    with pytest.raises(MicrographError, match=r"a\.zarr: cannot be read as OME-Zarr"):
        load_micrograph(path)


def test_other_compressors_and_huge_chunks_are_refused(tmp_path):
    import numcodecs

    path = write_ome_zarr(
        tmp_path / "a.zarr", STACK[0], "0.4", axes="yx", compressors=numcodecs.BZ2()
    )
    with pytest.raises(MicrographError, match="its compressor bz2 is not read"):
        load_micrograph(path)
    told = json.loads((path / "0/.zarray").read_text())
    (path / "0/.zarray").write_text(json.dumps(told | {"chunks": [2**20, 2**20]}))
    with pytest.raises(MicrographError, match=r"a chunk of [\d,]+ bytes is too large"):
        load_micrograph(path)


def test_a_chunk_far_larger_than_its_pixels_is_refused(tmp_path):
    path = write_ome_zarr(tmp_path / "a.zarr", STACK[0], axes="yx")
    (path / "0/c/0/0").write_bytes(bytes(2**20 + 2000))
    with pytest.raises(MicrographError, match="a chunk has 1,050,576 bytes for 256"):
        load_micrograph(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": ""}, "its level 0 is no array"),
        (
            {"coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]},
            "its scale has 3 numbers for 2 axes",
        ),
    ],
)
def test_metadata_that_do_not_fit_are_refused(tmp_path, changes, message):
    path = write_ome_zarr(tmp_path / "a.zarr", STACK[0], "0.4", axes="yx")
    told = json.loads((path / ".zattrs").read_text())
    told["multiscales"][0]["datasets"][0] |= changes
    (path / ".zattrs").write_text(json.dumps(told))
    with pytest.raises(MicrographError, match=message):
        load_micrograph(path)


def test_zlib_of_zarr_2_is_bounded_too(tmp_path, monkeypatch):
    monkeypatch.setattr(whole_picture, "SPARE", 2**20)
    import numcodecs

    path = write_ome_zarr(
        tmp_path / "a.zarr", STACK[0], "0.4", axes="yx", compressors=numcodecs.Zlib()
    )
    assert np.array_equal(load_micrograph(path).pixels, STACK[0])
    (path / "0/0.0").write_bytes(zlib.compress(bytes(2**26), 1))
    with pytest.raises(MicrographError, match=r"a\.zarr: cannot be read as OME-Zarr"):
        load_micrograph(path)


def test_large_images_are_refused_by_their_size_before_their_pixels(tmp_path):
    path = write_ome_zarr(tmp_path / "a.zarr", STACK[0], "0.4", axes="yx")
    told = json.loads((path / "0/.zarray").read_text())
    (path / "0/.zarray").write_text(json.dumps(told | {"shape": [2**20, 2**20]}))
    assert image_size(path) == (2**20, 2**20)
    with pytest.raises(MicrographError, match="at most 1,073,741,824 pixels"):
        load_micrograph(path)


def test_without_zarr_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    path = write_ome_zarr(tmp_path / "a.zarr")
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingReaderError, match=r"a\.zarr: .*`pip install 'temzoo\[zarr\]'`"):
        load_micrograph(path)


def test_a_damaged_image_is_refused_by_its_name(tmp_path, caplog):
    path = write_ome_zarr(tmp_path / "a.zarr", STACK[0], axes="yx")
    (path / "0/c/0/0").write_bytes(b"no chunk")
    with caplog.at_level(logging.WARNING), pytest.raises(MicrographError, match=r"a\.zarr: cannot"):
        load_micrograph(path)
    (path / "zarr.json").write_text("{")
    with pytest.raises(MicrographError, match=r"a\.zarr: cannot be read as OME-Zarr"):
        load_micrograph(path)
    assert not caplog.records


def write_zspy(path, data=STACK, navigate=(True, False, False), units=("s", "µm", "nm")):
    """As RosettaSciIO 0.15 lays it out, by Zarr 2."""
    signal = zarr.open_group(path, mode="w", zarr_format=2).create_group("Experiments/film")
    for axis, moves in enumerate(navigate):
        told = {"name": "tyx"[axis], "navigate": moves, "scale": (1.0, 2e-3, 1.5)[axis]}
        signal.create_group(f"axis-{axis}").attrs.update({**told, "units": units[axis]})
    chunks = {"chunks": (2, 20, 30), "chunk_key_encoding": {"name": "v2", "separator": "/"}}
    signal.create_array("data", shape=data.shape, dtype=data.dtype, **chunks)[:] = data
    return path


def test_a_zspy_is_read_by_frames_with_its_size_of_a_pixel(tmp_path):
    path = write_zspy(tmp_path / "a.zspy")
    frames = list(iter_frames(path))
    assert np.array_equal([frame.pixels for frame in frames], STACK)
    assert frames[0].nm_per_pixel == pytest.approx((2, 1.5))
    assert list_images(tmp_path) == [path]
    assert "format  HyperSpy" in told(path)


def test_a_zspy_without_images_or_in_a_zip_is_refused(tmp_path):
    path = write_zspy(tmp_path / "a.zspy", navigate=(True, True, False))
    with pytest.raises(MicrographError, match=r"with 1 axes of the signal\. Make it a Signal2D"):
        load_micrograph(path)
    (tmp_path / "b.zspy").write_bytes(b"PK\x03\x04")
    with pytest.raises(MicrographError, match=r"Received: a file\. Unpack it"):
        load_micrograph(tmp_path / "b.zspy")


def test_a_zspy_of_two_signals_and_of_no_length_says_so(tmp_path, caplog):
    path = write_zspy(tmp_path / "a.zspy", units=("s", "1/nm", "1/nm"))
    zarr.open_group(path)["Experiments"].create_group("second")
    with caplog.at_level(logging.INFO, "temzoo.micrographs"):
        assert load_micrograph(path).nm_per_pixel is None
    assert "its first signal, film, of 2" in caplog.text
    assert "units of 1/nm, which is no size of a pixel" in caplog.text
