"""Files of microscopes: pixels, frames and nanometres as they were written, damage refused."""

import importlib
import json
import logging
import struct
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
from PIL import Image

from temzoo.micrographs import (
    MICROSCOPE_SUFFIXES,
    MicrographError,
    MissingReaderError,
    count_frames,
    image_size,
    iter_frames,
    list_images,
    load_micrograph,
    source,
)
from temzoo.micrographs.source import quietly

STACK = (3, 20, 30)


@pytest.fixture
def stack():
    return np.random.default_rng(0).integers(0, 30_000, STACK, dtype=np.int16)


# Digital Micrograph's format, as described by C. B. Boothroyd, "DM3 file format": a tree of tags,
# whose structure is big-endian and whose values are little-endian.
DM_TYPES = {"uint32": (5, "<I"), "float32": (6, "<f"), "uint16": (4, "<H"), "int16": (2, "<h")}
DM_IMAGE_TYPES = {"int16": 1, "float32": 2, "complex64": 3, "colour": 23}


def _dm_tag(name, value, count):
    """A tag: a group of a dict or list, an array of an array, a string, or one number.

    Args:
        count: how numbers that count are stored: "I" in dm3, "Q" in dm4, which also tells the
            size of each tag.
    """
    if isinstance(value, dict | list):
        code, body = 20, _dm_group(value, count)
    else:
        code, body = 21, _dm_value(value, count)
    size = struct.pack(">Q", len(body)) if count == "Q" else b""
    return struct.pack(">BH", code, len(name)) + name.encode() + size + body


def _dm_value(value, count):
    if isinstance(value, str):
        value = np.frombuffer(value.encode("utf-16-le"), np.uint16)
    if isinstance(value, np.ndarray) and value.dtype == np.complex64:
        info = [20, 15, 0, 2, 0, 6, 0, 6, value.size]
    elif isinstance(value, np.ndarray):
        info = [20, DM_TYPES[value.dtype.name][0], value.size]
    else:
        code, form = DM_TYPES["float32" if isinstance(value, float) else "uint32"]
        info, value = [code], np.frombuffer(struct.pack(form, value), np.uint8)
    info = struct.pack(f">{len(info) + 1}{count}", len(info), *info)
    return b"%%%%" + info + value.tobytes()


def _dm_group(tags, count):
    named = tags.items() if isinstance(tags, dict) else [("", value) for value in tags]
    head = struct.pack(f">BB{count}", 1, 0, len(named))
    return head + b"".join(_dm_tag(*tag, count) for tag in named)


def _dm_image(pixels, scales, units, kind=None):
    """The tags of an image; axes as in ``pixels``, which Digital Micrograph lists backwards."""
    axes = [
        {"Origin": 0.0, "Scale": float(scale), "Units": unit}
        for scale, unit in zip(scales[::-1], units[::-1], strict=True)
    ]
    colour = kind == "colour"
    shape = pixels.shape[:-1] if colour else pixels.shape
    brightness = {"Origin": 0.0, "Scale": 1.0, "Units": ""}
    data = {
        "Calibrations": {"Brightness": brightness, "Dimension": axes},
        "Data": (pixels.view(np.uint32) if colour else pixels).ravel(),
        "DataType": DM_IMAGE_TYPES[kind or pixels.dtype.name],
        "Dimensions": list(shape[::-1]),
        "PixelDepth": 4,
    }
    return {"ImageData": data, "ImageTags": {"by": "a test"}, "Name": "image"}


def write_dm(path, *images):
    count = {".dm3": "I", ".dm4": "Q"}[path.suffix]
    tree = _dm_group({"ImageList": list(images), "InImageMode": 1}, count)
    head = struct.pack(f">I{count}I", int(path.suffix[-1]), len(tree) + 4, 1)
    path.write_bytes(head + tree + bytes(8))


def _write_dm_stack(path, stack):
    write_dm(path, _dm_image(stack, (1, 2, 1), ("s", "nm", "nm")))


def write_ser(path, frames, delta=(2e-9, 1e-9), series_kind=0x4122, promised=None):
    """A TIA series of int16 images, version 0x0210, as C. B. Boothroyd describes it."""
    count, height, width = frames.shape
    axis = struct.pack("<IddIII", count, 0.0, 1.0, 0, 0, 0)
    start = 30 + len(axis)
    size = 50 + 2 * height * width
    # Image after image, each with its tag of 8 bytes; behind them the places of both.
    images = [start + k * (size + 8) for k in range(count)]
    table = start + count * (size + 8)
    head = struct.pack(
        "<HHHIIIIII", 0x4949, 0x0197, 0x0210, series_kind, 0x4152, count, count, table, 1
    )
    shape = promised or (width, height)
    image = struct.pack("<ddIddIHII", 0, delta[1], 0, 0, delta[0], 0, 5, *shape)
    # Stored from the bottom row to the top.
    body = [image + frame[::-1].astype("<i2").tobytes() + bytes(8) for frame in frames]
    places = images + [place + size for place in images]
    path.write_bytes(head + axis + b"".join(body) + struct.pack(f"<{len(places)}I", *places))


def write_berkeley(path, data, axes):
    """EMD 0.2: axes are (name, units, scale) of each dimension of ``data``."""
    with h5py.File(path, "w") as file:
        file.attrs["version_major"], file.attrs["version_minor"] = 0, 2
        group = file.create_group("signals/image")
        group.attrs["emd_group_type"] = 1
        group.create_dataset("data", data=data)
        for k, (name, units, scale) in enumerate(axes):
            dim = group.create_dataset(f"dim{k + 1}", data=scale * np.arange(data.shape[k]))
            dim.attrs["name"], dim.attrs["units"] = name, units


def write_velox(path, images, pixel=(2e-9, 1e-9), unit="m", **groups):
    """Velox's EMD: ``images`` are (H, W, frames) arrays, or shapes of which nothing is stored."""
    metadata = {
        "BinaryResult": {
            "PixelSize": {"height": str(pixel[0]), "width": str(pixel[1])},
            "PixelUnitX": unit,
            "DetectorIndex": "0",
        },
        "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "1700000000"}},
        "Detectors": {"Detector-0": {"DetectorName": "HAADF"}},
        "Scan": {"FrameTime": "1"},
    }
    text = np.frombuffer(json.dumps(metadata).encode().ljust(2000, b"\0"), np.uint8)
    with h5py.File(path, "w") as file:
        version = json.dumps({"format": "Velox", "version": "11"})
        file["Version"] = np.array([version.encode()], dtype=object)
        for k, image in enumerate(images):
            group = file.create_group(f"Data/Image/{k:032x}")
            shape = image if isinstance(image, tuple) else image.shape
            dtype = getattr(image, "dtype", np.uint16)
            data = group.create_dataset(
                "Data", shape, dtype, chunks=(*(min(n, 2**14) for n in shape[:2]), 1)
            )
            if not isinstance(image, tuple):
                data[:] = image
            group["Metadata"] = np.repeat(text[:, None], shape[2], axis=1)
        for name in groups:
            file.create_group(f"Data/{name}")


def write_mrc(path, data, angstrom=(20.0, 10.0)):
    with mrcfile.new(path) as file:
        file.set_data(data)
        if angstrom:
            file.voxel_size = (angstrom[1], angstrom[0], 1.0)


WRITERS = {
    "a.dm3": _write_dm_stack,
    "a.dm4": _write_dm_stack,
    "a.ser": write_ser,
    "berkeley.emd": lambda path, stack: write_berkeley(
        path, stack, [("n", "", 1), ("y", "[n_m]", 2), ("x", "[n_m]", 1)]
    ),
    "velox.emd": lambda path, stack: write_velox(path, [np.moveaxis(stack, 0, 2)]),
    "a.mrc": write_mrc,
}


@pytest.fixture(params=WRITERS)
def file(request, tmp_path, stack):
    """A stack of 3 frames of 20 x 30 px, 2 nm a row and 1 nm a column, in each format."""
    WRITERS[request.param](tmp_path / request.param, stack)
    return tmp_path / request.param


def test_frames_and_pixel_size_are_those_that_were_written(file, stack):
    assert image_size(file) == STACK[1:]
    assert count_frames(file) == 3
    for frame, expected in enumerate(stack):
        loaded = load_micrograph(file, frame=frame)
        assert np.array_equal(loaded.pixels, expected)
        assert loaded.pixels.dtype == np.int16
        assert loaded.pixels.dtype.isnative
        assert loaded.pixels.flags.writeable
        assert loaded.nm_per_pixel == pytest.approx((2, 1), rel=1e-6)
        assert loaded.name == file.name
    with pytest.raises(MicrographError, match=r"between 0 and 2.*3 frame\(s\).*frame=3"):
        load_micrograph(file, frame=3)


def test_frames_are_streamed_with_a_name_each(file, stack):
    frames = list(iter_frames(file))
    assert [frame.name for frame in frames] == [f"{file.stem}_{k}{file.suffix}" for k in range(3)]
    assert np.array_equal([frame.pixels for frame in frames], stack)
    assert {frame.nm_per_pixel for frame in iter_frames(file, nm_per_pixel=7)} == {(7.0, 7.0)}


def test_too_many_pixels_are_refused(file):
    with pytest.raises(MicrographError, match=r"20 x 30 = 600\. .*pass max_pixels=600"):
        load_micrograph(file, max_pixels=599)
    assert len(list(iter_frames(file, max_pixels=600))) == 3
    with pytest.raises(MicrographError, match="pass max_pixels=600"):
        next(iter_frames(file, max_pixels=599))


@pytest.mark.parametrize("part", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97])
def test_a_truncated_file_never_passes_for_an_image(file, part):
    content = file.read_bytes()
    file.write_bytes(content[: int(part * len(content))])
    with pytest.raises(MicrographError, match=rf"{file.stem}\{file.suffix}: "):
        list(iter_frames(file))


def test_a_damaged_header_is_refused_by_name(file):
    content = bytearray(file.read_bytes())
    content[12:200] = b"\xaa" * 188
    file.write_bytes(content)
    with pytest.raises(MicrographError, match=rf"{file.stem}\{file.suffix}: cannot be read as"):
        load_micrograph(file)


@pytest.mark.parametrize("suffix", [".dm4", ".mrc", ".tif", ".EMD"])
def test_what_a_file_is_its_first_bytes_decide(file, stack, suffix):
    other = file.rename(file.with_suffix(suffix))
    if file.suffix == ".ser":
        with pytest.raises(MicrographError, match=rf"must be named \.ser.*Received: '\{suffix}'"):
            load_micrograph(other)
    else:
        assert np.array_equal(load_micrograph(other).pixels, stack[0])


@pytest.mark.parametrize("suffix", [each for each in MICROSCOPE_SUFFIXES if each != ".emi"])
def test_a_file_of_nothing_known_is_refused(tmp_path, suffix):
    (tmp_path / f"a{suffix}").write_bytes(b"an image that never was" * 20)
    with pytest.raises(MicrographError, match=r"does not begin like .*MRC, Digital Micrograph"):
        load_micrograph(tmp_path / f"a{suffix}")


def test_a_folder_of_microscope_files_is_listed(tmp_path, stack):
    for name, write in WRITERS.items():
        write(tmp_path / name, stack)
    assert [path.name for path in list_images(tmp_path)] == sorted(WRITERS)


def test_threads_leave_the_filters_of_warnings_as_they_were(tmp_path, stack):
    for name, write in WRITERS.items():
        write(tmp_path / name, stack)
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(load_micrograph, 6 * list_images(tmp_path)))
    assert all(np.array_equal(each.pixels, stack[0]) for each in loaded)
    assert warnings.filters == before


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "a.mrc"])
def test_the_filters_of_warnings_change_in_one_thread_at_a_time(tmp_path, stack, monkeypatch, name):
    WRITERS[name](tmp_path / name, stack)
    alone = []

    class Watched(warnings.catch_warnings):
        def __enter__(self):
            alone.append(source._ONE_THREAD.locked())
            return super().__enter__()

    monkeypatch.setattr(warnings, "catch_warnings", Watched)
    load_micrograph(tmp_path / name, frame=1)
    assert alone
    assert all(alone)


def test_quietly_holds_back_warnings_and_logs_and_restores_both(capsys):
    log = logging.getLogger("rsciio")
    level = log.level
    with quietly("rsciio"):
        warnings.warn("not shown", stacklevel=1)  # an error under this suite's filters
        logging.getLogger("rsciio.emd").warning("not shown")
    assert capsys.readouterr() == ("", "")
    assert log.level == level
    with pytest.warns(UserWarning, match="shown"):
        warnings.warn("shown", stacklevel=1)


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "a.mrc"])
def test_without_rosettasciio_the_error_says_how_to_install_it(tmp_path, stack, monkeypatch, name):
    WRITERS[name](tmp_path / name, stack)
    monkeypatch.setitem(sys.modules, "rsciio", None)
    message = rf"{name}: .*RosettaSciIO.*`pip install 'temzoo\[microscopes\]'`, or export .* TIFF"
    for read in (load_micrograph, image_size, count_frames, lambda path: list(iter_frames(path))):
        with pytest.raises(MissingReaderError, match=message):
            read(tmp_path / name)


def test_without_rosettasciio_the_other_formats_are_read(tmp_path, stack, monkeypatch):
    monkeypatch.setitem(sys.modules, "rsciio", None)
    write_mrc(tmp_path / "a.mrc", stack)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    np.save(tmp_path / "a.npy", stack[0])
    for path in list_images(tmp_path):
        assert np.array_equal(load_micrograph(path).pixels, stack[0])
    Image.fromarray(stack[0].astype(np.uint8)).save(tmp_path / "a.png")
    assert load_micrograph(tmp_path / "a.png").pixels.shape == STACK[1:]


UNITS = [("nm", 1), ("µm", 1e3), ("um", 1e3), ("pm", 1e-3), ("A", 0.1), ("Å", 0.1), ("m", 1e9)]


@pytest.mark.parametrize(("unit", "nm"), UNITS)
def test_dm3_each_axis_has_its_own_unit(tmp_path, stack, unit, nm):
    write_dm(tmp_path / "a.dm3", _dm_image(stack[0], (0.5e-6 / nm, 3), (unit, "nm")))
    loaded = load_micrograph(tmp_path / "a.dm3")
    assert loaded.nm_per_pixel == pytest.approx((0.5e-6, 3))


@pytest.mark.parametrize("units", [("1/nm", "1/nm"), ("", ""), ("nm", "1/nm"), ("px", "px")])
def test_dm3_without_lengths_on_both_axes_is_uncalibrated(tmp_path, stack, units):
    write_dm(tmp_path / "a.dm3", _dm_image(stack[0], (0.1, 0.1), units))
    assert load_micrograph(tmp_path / "a.dm3").nm_per_pixel is None


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_dm3_with_an_impossible_scale_is_uncalibrated(tmp_path, stack, scale):
    write_dm(tmp_path / "a.dm3", _dm_image(stack[0], (scale, 1), ("nm", "nm")))
    assert load_micrograph(tmp_path / "a.dm3").nm_per_pixel is None


def test_dm3_frames_go_on_from_one_image_to_the_next(tmp_path, stack):
    first = _dm_image(stack[:2], (1, 2, 2), ("s", "nm", "nm"))
    second = _dm_image(stack[2, :5].astype(np.float32), (3, 3), ("nm", "nm"))
    write_dm(tmp_path / "a.dm3", first, second)
    assert count_frames(tmp_path / "a.dm3") == 3
    frames = list(iter_frames(tmp_path / "a.dm3"))
    assert [frame.pixels.shape for frame in frames] == [(20, 30), (20, 30), (5, 30)]
    assert [frame.nm_per_pixel for frame in frames] == [(2, 2), (2, 2), (3, 3)]
    assert np.array_equal(frames[2].pixels, stack[2, :5])


def test_dm3_colour_loses_its_alpha(tmp_path):
    colour = np.random.default_rng(1).integers(0, 255, (20, 30, 4), dtype=np.uint8)
    write_dm(tmp_path / "a.dm3", _dm_image(colour, (2, 1), ("nm", "nm"), "colour"))
    assert image_size(tmp_path / "a.dm3") == (20, 30)
    # Stored as blue, green, red, alpha.
    assert np.array_equal(load_micrograph(tmp_path / "a.dm3").pixels, colour[..., 2::-1])


def test_dm3_spectra_and_complex_images_are_refused(tmp_path, stack):
    path = tmp_path / "a.dm3"
    write_dm(path, _dm_image(stack[0, 0], (1,), ("eV",)))
    with pytest.raises(MicrographError, match=r"a\.dm3: must hold an image.*shape \(30,\) \(eV\)"):
        load_micrograph(path)
    write_dm(path, _dm_image(stack, (1, 1, 1), ("eV", "nm", "nm")))
    with pytest.raises(MicrographError, match=r"must hold an image.*\(3, 20, 30\) \(eV, nm, nm\)"):
        count_frames(path)
    write_dm(path, _dm_image(stack[None], (1, 1, 1, 1), ("nm", "nm", "1/nm", "1/nm")))
    with pytest.raises(MicrographError, match=r"must hold an image.*\(1, 3, 20, 30\)"):
        load_micrograph(path)
    wave = _dm_image(stack[0].astype(np.complex64), (1, 1), ("nm", "nm"))
    write_dm(path, wave)
    with pytest.raises(MicrographError, match=r"must be real numbers\. Received: dtype=complex64"):
        load_micrograph(path)
    write_dm(path, wave, _dm_image(stack[0], (1, 1), ("nm", "nm")))
    assert count_frames(path) == 1
    assert np.array_equal(load_micrograph(path).pixels, stack[0])


def test_dm3_values_that_are_not_finite_are_refused(tmp_path, stack):
    pixels = stack[0].astype(np.float32)
    pixels[3, 7] = np.nan
    write_dm(tmp_path / "a.dm3", _dm_image(pixels, (1, 1), ("nm", "nm")))
    with pytest.raises(MicrographError, match=r"1 NaN or .* of 600, the first at row 3, column 7"):
        load_micrograph(tmp_path / "a.dm3")


def test_ser_of_a_diffraction_pattern_is_uncalibrated(tmp_path, stack):
    # The file does not say so: 2e7 per metre stands where 2e-9 metres would.
    write_ser(tmp_path / "a.ser", stack[:1], delta=(2e7, 2e7))
    loaded = load_micrograph(tmp_path / "a.ser")
    assert loaded.nm_per_pixel is None
    assert np.array_equal(loaded.pixels, stack[0])


def test_ser_that_promises_more_than_it_holds_is_refused_without_taking_memory(tmp_path, stack):
    write_ser(tmp_path / "a.ser", stack, promised=(2**31, 2**31))
    with pytest.raises(MicrographError, match=r"a\.ser: .*it promises [\d,]+ bytes of pixels"):
        image_size(tmp_path / "a.ser")


def test_ser_of_spectra_or_of_nothing_is_refused(tmp_path, stack):
    write_ser(tmp_path / "a.ser", stack, series_kind=0x4120)
    with pytest.raises(MicrographError, match=r"must hold an image .*Received: 3 spectra\. Export"):
        load_micrograph(tmp_path / "a.ser")
    write_ser(tmp_path / "a.ser", stack[:0])
    with pytest.raises(MicrographError, match="none of its images was recorded"):
        load_micrograph(tmp_path / "a.ser")


@pytest.mark.parametrize("order", ["yx", "xy", "nyx", "xyn"])
def test_berkeley_rows_and_columns_are_told_by_their_names(tmp_path, stack, order):
    # RosettaSciIO and HyperSpy write x first, openNCEM y.
    named = {"n": ("n", "", 1.0), "y": ("y", "[n_m]", 2.0), "x": ("x", "[u_m]", 3e-3)}
    whole = stack if "n" in order else stack[0]
    written = whole.transpose(["nyx"[-len(order) :].index(name) for name in order])
    write_berkeley(tmp_path / "a.emd", written, [named[name] for name in order])
    frames = list(iter_frames(tmp_path / "a.emd"))
    assert np.array_equal([frame.pixels for frame in frames], stack if "n" in order else stack[:1])
    assert all(frame.nm_per_pixel == pytest.approx((2, 3)) for frame in frames)


def test_berkeley_axes_named_after_their_place_keep_it(tmp_path, stack):
    # ncempy writes them so.
    axes = [("dim1", "n_m", 7.0), ("dim2", "n_m", 0.25), ("dim3", "n_m", 0.5)]
    write_berkeley(tmp_path / "a.emd", stack, axes)
    frames = list(iter_frames(tmp_path / "a.emd"))
    assert np.array_equal([frame.pixels for frame in frames], stack)
    assert frames[0].nm_per_pixel == pytest.approx((0.25, 0.5))
    write_berkeley(tmp_path / "a.emd", stack[0], [("dim1", "nm", 0.25), ("dim2", "nm", 0.5)])
    loaded = load_micrograph(tmp_path / "a.emd")
    assert np.array_equal(loaded.pixels, stack[0])
    assert loaded.nm_per_pixel == pytest.approx((0.25, 0.5))


def test_berkeley_axes_without_names_are_hyperspys(tmp_path, stack):
    write_berkeley(tmp_path / "a.emd", stack[0].T, [("", "[n_m]", 0.5), ("", "[n_m]", 0.25)])
    loaded = load_micrograph(tmp_path / "a.emd")
    assert np.array_equal(loaded.pixels, stack[0])
    assert loaded.nm_per_pixel == pytest.approx((0.25, 0.5))


@pytest.mark.parametrize("units", ["[1/n_m]", "1/nm", "pixels", ""])
def test_berkeley_without_lengths_is_uncalibrated(tmp_path, stack, units):
    write_berkeley(tmp_path / "a.emd", stack[0], [("y", units, 2), ("x", units, 1)])
    assert load_micrograph(tmp_path / "a.emd").nm_per_pixel is None


def test_berkeley_spectra_are_refused(tmp_path, stack):
    write_berkeley(tmp_path / "a.emd", stack, [("x", "nm", 1), ("y", "nm", 1), ("E", "eV", 1)])
    with pytest.raises(MicrographError, match=r"must hold an image .*Received: .*eV.*as TIFF"):
        load_micrograph(tmp_path / "a.emd")


@pytest.mark.parametrize("unit", ["1/m", ""])
def test_velox_without_lengths_is_uncalibrated(tmp_path, stack, unit):
    write_velox(tmp_path / "a.emd", [stack[:1].transpose(1, 2, 0)], (2.0, 1.0), unit)
    assert load_micrograph(tmp_path / "a.emd").nm_per_pixel is None


def test_velox_images_of_several_detectors_are_numbered_in_the_order_of_the_file(tmp_path, stack):
    wave = stack[0].astype([("realFloat", "<f4"), ("imagFloat", "<f4")])
    write_velox(
        tmp_path / "a.emd", [*stack[:2, :, :, None], wave[..., None], stack[2, :9, :, None]]
    )
    frames = list(iter_frames(tmp_path / "a.emd"))
    assert [frame.pixels.shape for frame in frames] == [(20, 30), (20, 30), (9, 30)]
    assert np.array_equal(frames[1].pixels, stack[1])
    write_velox(tmp_path / "a.emd", [wave[..., None]])
    with pytest.raises(MicrographError, match=r"must be real numbers\. Received: dtype=complex64"):
        load_micrograph(tmp_path / "a.emd")


def test_velox_images_in_one_piece_are_read(tmp_path, stack):
    write_velox(tmp_path / "a.emd", [stack.transpose(1, 2, 0)])
    with h5py.File(tmp_path / "a.emd", "r+") as opened:
        group = opened["Data/Image"][f"{0:032x}"]
        del group["Data"]
        group["Data"] = stack.transpose(1, 2, 0)
        assert group["Data"].chunks is None
    assert image_size(tmp_path / "a.emd") == STACK[1:]
    assert np.array_equal([frame.pixels for frame in iter_frames(tmp_path / "a.emd")], stack)


def test_velox_image_is_refused_by_its_size_before_its_pixels(tmp_path):
    write_velox(tmp_path / "a.emd", [(2**18, 2**18, 1)])
    assert (tmp_path / "a.emd").stat().st_size < 100_000
    assert image_size(tmp_path / "a.emd") == (2**18, 2**18)
    with pytest.raises(MicrographError, match=r"at most 1,073,741,824 pixels"):
        load_micrograph(tmp_path / "a.emd")


def test_velox_frames_before_a_damaged_one_are_streamed(tmp_path, stack):
    write_velox(tmp_path / "a.emd", [stack.transpose(1, 2, 0)])
    with h5py.File(tmp_path / "a.emd", "r+") as opened:
        group = opened["Data/Image"][f"{0:032x}"]
        del group["Data"]
        data = group.create_dataset(
            "Data", (20, 30, 3), np.int16, chunks=(20, 30, 1), fletcher32=True
        )
        data[:] = stack.transpose(1, 2, 0)
        place = data.id.get_chunk_info(1).byte_offset
    content = bytearray((tmp_path / "a.emd").read_bytes())
    content[place + 5] ^= 0xFF
    (tmp_path / "a.emd").write_bytes(content)
    frames = iter_frames(tmp_path / "a.emd")
    assert np.array_equal(next(frames).pixels, stack[0])
    with pytest.raises(MicrographError, match=r"a\.emd: cannot be read as EMD, it is damaged"):
        next(frames)


def test_velox_spectrum_image_without_sparse_says_what_to_install(tmp_path, stack, monkeypatch):
    monkeypatch.setitem(sys.modules, "sparse", None)
    write_velox(tmp_path / "a.emd", [stack[0, :, :, None]], SpectrumImage=1)
    with h5py.File(tmp_path / "a.emd", "r+") as opened:
        opened.create_group("Displays/ImageDisplay")
    with pytest.raises(MissingReaderError, match=r"a\.emd: .*spectrum image.*pip install sparse"):
        load_micrograph(tmp_path / "a.emd")


def test_hdf5_of_another_layout_is_refused(tmp_path, stack):
    with h5py.File(tmp_path / "a.emd", "w") as opened:
        opened["pixels"] = stack
    with pytest.raises(MicrographError, match=r"a\.emd: HDF5 must be laid out as EMD.*Received"):
        load_micrograph(tmp_path / "a.emd")
    with h5py.File(tmp_path / "a.emd", "w") as opened:
        opened.attrs["version_major"], opened.attrs["version_minor"] = 0, 2
        opened["pixels"] = stack
    with pytest.raises(MicrographError, match=r"must hold an image .*Received: no data"):
        load_micrograph(tmp_path / "a.emd")


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float16", "float32"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_mrc_keeps_the_dtype_in_native_order(tmp_path, stack, dtype, order):
    data = (stack % 100).astype(np.dtype(dtype).newbyteorder(order))
    write_mrc(tmp_path / "a.mrc", data)
    loaded = load_micrograph(tmp_path / "a.mrc", frame=1)
    assert loaded.pixels.dtype == np.dtype(dtype)
    assert np.array_equal(loaded.pixels, data[1])


def test_mrc_complex_and_stacks_of_volumes_are_refused(tmp_path, stack):
    write_mrc(tmp_path / "a.mrc", stack[0].astype(np.complex64))
    with pytest.raises(MicrographError, match=r"must be real numbers\. Received: dtype=complex64"):
        load_micrograph(tmp_path / "a.mrc")
    write_mrc(tmp_path / "b.mrc", stack[None], angstrom=None)
    with pytest.raises(MicrographError, match=r"one image or one stack\. Received: shape=\(1, 3,"):
        load_micrograph(tmp_path / "b.mrc")


def test_mrc_without_a_pixel_size_is_uncalibrated(tmp_path, stack):
    write_mrc(tmp_path / "a.mrc", stack, angstrom=None)
    assert load_micrograph(tmp_path / "a.mrc").nm_per_pixel is None
    with mrcfile.open(tmp_path / "a.mrc", mode="r+") as opened:
        opened.header.mx = 0
    assert load_micrograph(tmp_path / "a.mrc").nm_per_pixel is None


def test_mrc_pixel_size_follows_the_axes(tmp_path, stack):
    write_mrc(tmp_path / "a.mrc", stack[0], angstrom=None)
    with mrcfile.open(tmp_path / "a.mrc", mode="r+") as opened:
        opened.header.mapc, opened.header.mapr = 2, 1  # y runs along a row, x from row to row
        opened.header.mx, opened.header.my = 20, 30
        opened.header.cella.x, opened.header.cella.y = 20 * 70.0, 30 * 50.0
    assert load_micrograph(tmp_path / "a.mrc").nm_per_pixel == pytest.approx((7, 5))


@pytest.mark.parametrize("kind", [b"FEI1", b"FEI2"])
def test_mrc_pixel_size_of_the_extended_header_where_there_is_no_other(tmp_path, stack, kind):
    dtype = mrcfile.dtypes.get_ext_header_dtype(kind)
    extended = np.zeros(3, dtype)
    extended["Metadata size"], extended["Pixel size X"] = dtype.itemsize, 1.5e-9
    extended["Pixel size Y"] = 2.5e-9
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(stack)
        file.set_extended_header(extended)
        file.header.exttyp = kind
    assert load_micrograph(tmp_path / "a.mrc").nm_per_pixel == pytest.approx((2.5, 1.5))
    with mrcfile.open(tmp_path / "a.mrc", mode="r+") as opened:
        opened.voxel_size = 40
    assert load_micrograph(tmp_path / "a.mrc").nm_per_pixel == pytest.approx((4, 4))


def test_mrc_of_an_unknown_mode_is_refused_and_bytes_behind_the_image_are_not(tmp_path, stack):
    write_mrc(tmp_path / "a.mrc", stack)
    with (tmp_path / "a.mrc").open("ab") as opened:
        opened.write(bytes(100))
    assert np.array_equal(load_micrograph(tmp_path / "a.mrc").pixels, stack[0])
    content = bytearray((tmp_path / "a.mrc").read_bytes())
    content[12:16] = struct.pack("<i", 16)
    (tmp_path / "a.mrc").write_bytes(content)
    with pytest.raises(MicrographError, match=r"a\.mrc: cannot be read as MRC.*mode"):
        load_micrograph(tmp_path / "a.mrc")


def test_frames_of_a_tiff_are_streamed_too(tmp_path, stack):
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    assert count_frames(tmp_path / "a.tif") == 3
    assert np.array_equal([frame.pixels for frame in iter_frames(tmp_path / "a.tif")], stack)
    np.save(tmp_path / "a.npy", stack[0])
    assert [frame.name for frame in iter_frames(tmp_path / "a.npy")] == ["a.npy"]
    with pytest.raises(FileNotFoundError, match=r"Did you mean a\.tif"):
        iter_frames(tmp_path / "aa.tif")


REAL = {
    "test_STEM_image.dm3": "digitalmicrograph",
    "dmTest_float32_nonSquare_diffPixelSize.dm4": "digitalmicrograph",
    "128x128-TEM_search_1.ser": "tia",
    "Camera Ceta Imaging Micro.emd": "emd",
    "HAADFscan.mrc": "mrc",
    "test_loading_image_saved_with_DM.tif": "tiff",
    "test_loading_image_saved_with_imageJ.tif": "tiff",
}


@pytest.mark.shared
# RosettaSciIO itself leaves the MRC file open.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", REAL)
def test_real_files_have_the_pixels_and_nanometres_of_rosettasciio(shared, name):
    path = shared / "data/microscope" / name
    reader = importlib.import_module(f"rsciio.{REAL[name]}")
    (signal,) = reader.file_reader(str(path))
    nm = {"nm": 1, "A": 0.1, "µm": 1e3}
    scale = [axis["scale"] * nm[axis["units"]] for axis in signal["axes"]]
    loaded = load_micrograph(path)
    assert loaded.nm_per_pixel == pytest.approx(scale, rel=1e-9)
    assert np.array_equal(loaded.pixels, signal["data"])
    assert loaded.pixels.dtype == signal["data"].dtype
    assert image_size(path) == signal["data"].shape
    assert [frame.name for frame in iter_frames(path)] == [name]


@pytest.mark.shared
def test_real_file_with_pixels_that_are_not_square_keeps_both_sizes(shared):
    path = shared / "data/microscope/dmTest_float32_nonSquare_diffPixelSize.dm4"
    # 2 ångström a row, 1 nm a column.
    assert load_micrograph(path).nm_per_pixel == pytest.approx((0.2, 1.0))
    assert image_size(path) == (64, 128)


@pytest.mark.shared
@pytest.mark.parametrize("name", list(REAL)[:5])
def test_real_files_cut_short_are_refused(shared, tmp_path, name):
    content = (shared / "data/microscope" / name).read_bytes()
    for part in (0.01, 0.3, 0.6, 0.95):
        (tmp_path / name).write_bytes(content[: int(part * len(content))])
        with pytest.raises(MicrographError, match=name.replace(".", r"\.")):
            load_micrograph(tmp_path / name)
