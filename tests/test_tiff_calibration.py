"""The size of a pixel, wherever a program writes it into a TIFF or beside a picture."""

import logging
import struct

import numpy as np
import PIL
import pytest
import tifffile
from PIL import Image

from temzoo.micrographs import (
    MicrographError,
    checked_scale,
    count_frames,
    iter_frames,
    load_micrograph,
)

PIXELS = np.arange(64 * 96, dtype=np.uint8).reshape(64, 96)
DPI = {"resolution": (300, 300), "resolutionunit": "INCH"}


def write(path, *, tags=(), pixels=PIXELS, **options):
    options = {"metadata": None, "photometric": "minisblack", **options}
    extra = [(code, "s", 0, text, True) for code, text in tags]
    tifffile.imwrite(path, pixels, extratags=extra, **options)
    return path


def scale(path):
    return load_micrograph(path).nm_per_pixel


def _ome(pixels):
    space = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    images = "".join(f'<Image ID="Image:{k}">{each}</Image>' for k, each in enumerate(pixels))
    return f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{space}">{images}</OME>'


def _physical(**sizes):
    return "<Pixels " + " ".join(f'{key}="{value}"' for key, value in sizes.items()) + "/>"


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        ({"X": 5, "XUnit": "nm", "Y": 4, "YUnit": "nm"}, (4, 5)),
        ({"X": 0.005, "Y": 0.004}, (4, 5)),  # µm, where no unit is stated
        ({"X": 0.005, "XUnit": "µm", "Y": 40, "YUnit": "Å"}, (4, 5)),
        ({"X": 1, "XUnit": "pixel", "Y": 1, "YUnit": "pixel"}, None),
        ({"X": 1, "XUnit": "reference frame", "Y": 1, "YUnit": "reference frame"}, None),
        ({"X": 5, "XUnit": "nm"}, None),
        ({"X": "five", "XUnit": "nm", "Y": 5, "YUnit": "nm"}, None),
    ],
)
def test_ome_states_each_axis_in_its_own_unit(tmp_path, pixels, expected):
    text = _ome([_physical(**{f"PhysicalSize{key}": value for key, value in pixels.items()})])
    write(tmp_path / "a.ome.tif", description=text.encode())
    assert scale(tmp_path / "a.ome.tif") == (expected and pytest.approx(expected))


def test_ome_of_images_with_different_sizes_and_ome_that_is_no_xml_calibrate_nothing(tmp_path):
    sizes = [_physical(PhysicalSizeX=k, PhysicalSizeY=k) for k in (1, 2)]
    write(tmp_path / "a.ome.tif", description=_ome(sizes).encode(), **DPI)
    assert scale(tmp_path / "a.ome.tif") is None
    write(tmp_path / "a.ome.tif", description=_ome(["<Pixels"]).encode())
    assert scale(tmp_path / "a.ome.tif") is None


SIGHTX = """<?xml version="1.0"?><TemReporter><Eos><EosMode>{mode}</EosMode></Eos>
<ImageFormingSystem><ModeString>{imaging}</ModeString><SelectorValue>{value}</SelectorValue>
</ImageFormingSystem></TemReporter>"""


@pytest.mark.parametrize(
    ("mode", "imaging", "value", "expected"),
    [
        ("eosTEM", "MAG", "50000", 100_000 / 50_000),  # the camera has 1e7 nm / 100 per pixel
        ("eosTEM", "DIFF", "100", None),
        ("eosTEM", "MAG", "0", None),
        ("modeASID", "MAG", "50000", None),
    ],
)
def test_jeol_sightx_states_the_cameras_pixels_and_the_magnification(
    tmp_path, mode, imaging, value, expected
):
    text = SIGHTX.format(mode=mode, imaging=imaging, value=value)
    options = {"resolution": (100, 100), "resolutionunit": "CENTIMETER", "description": text}
    write(tmp_path / "a.tif", tags=[(271, "JEOL Ltd.")], **options)
    assert scale(tmp_path / "a.tif") == (expected and pytest.approx((expected, expected)))
    write(tmp_path / "a.tif", tags=[(271, "another")], **options)
    assert scale(tmp_path / "a.tif") is None


def _olympus_sis(path, sizes, exponent):
    """Its two pages: a preview in colours, and the image with the tag, which points into itself."""
    head = struct.pack("<4s6xhhhhh6x32sH", b"SIS0", 1, 2, 3, 4, 120, b"x", 1)
    pixel = struct.pack("<10xhdd8xd2x34s32s", exponent, *sizes[::-1], 1e4, b"camera", b"grey")
    with tifffile.TiffWriter(path) as tiff:
        colours = np.repeat(PIXELS[..., None], 3, axis=2)
        tiff.write(colours, photometric="rgb", metadata=None)
        block = head + struct.pack("<hhI", 1, 1, 0) + pixel.ljust(112, b"\0")
        tag = (33560, "B", len(block), block, True)
        wide = PIXELS.astype(np.uint16)
        tiff.write(wide, photometric="minisblack", metadata=None, extratags=[tag])
    content = bytearray(path.read_bytes())
    place = content.index(b"SIS0") + len(head)
    content[place + 4 : place + 8] = struct.pack("<I", place + 8)
    path.write_bytes(content)


def test_olympus_sis_has_its_page_and_no_preview(tmp_path):
    _olympus_sis(tmp_path / "a.tif", (3.0, 2.4), -11)
    loaded = load_micrograph(tmp_path / "a.tif")
    assert count_frames(tmp_path / "a.tif") == 1
    assert loaded.pixels.dtype == np.uint16
    assert np.array_equal(loaded.pixels, PIXELS)
    assert loaded.nm_per_pixel == pytest.approx((0.03, 0.024))


@pytest.mark.parametrize("exponent", [212, -40])
def test_a_size_that_no_pixel_has_is_none_with_a_word(tmp_path, caplog, exponent):
    _olympus_sis(tmp_path / "a.tif", (1.0, 1.0), exponent)
    with caplog.at_level(logging.INFO, "temzoo.micrographs"):
        assert scale(tmp_path / "a.tif") is None
    word = f": 1e{exponent + 9:+} x 1e{exponent + 9:+} nm, which is no size of a pixel"
    assert word in caplog.text


@pytest.mark.parametrize(("code", "value"), [(254, 1), (254, 4), (254, 5), (255, 2)])
def test_pages_that_are_smaller_copies_or_masks_are_no_frames(tmp_path, caplog, code, value):
    kind = "I" if code == 254 else "H"
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for k, pixels in enumerate((PIXELS, PIXELS[::2, ::2], PIXELS + 1)):
            tag = [(code, kind, 1, value, True)] if k == 1 else []
            tiff.write(pixels, photometric="minisblack", metadata=None, extratags=tag)
    assert count_frames(tmp_path / "a.tif") == 2
    with caplog.at_level(logging.INFO, "temzoo.micrographs"):
        assert np.array_equal(load_micrograph(tmp_path / "a.tif", frame=1).pixels, PIXELS + 1)
    assert "1 of its 3 pages are copies, previews or masks" in caplog.text


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize(("code", "value"), [(254, 1), (254, 4), (255, 2)])
def test_marked_pages_of_a_long_stack_of_one_size_are_no_frames(tmp_path, code, value, bigtiff):
    marked = (2, 3, 6)  # tifffile calls a stack uniform by its pages 0, 1, 7 and the last
    kind = "I" if code == 254 else "H"
    with tifffile.TiffWriter(tmp_path / "a.tif", bigtiff=bigtiff) as tiff:
        for k in range(12):
            tag = [(code, kind, 1, value, True)] if k in marked else []
            tiff.write(PIXELS + k, photometric="minisblack", metadata=None, extratags=tag)
    frames = [frame.pixels for frame in iter_frames(tmp_path / "a.tif")]
    assert np.array_equal(frames, [PIXELS + k for k in range(12) if k not in marked])


def test_pages_that_are_all_marked_as_copies_are_frames(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, subfiletype=1)
    assert np.array_equal(load_micrograph(tmp_path / "a.tif").pixels, PIXELS)


@pytest.mark.parametrize(("width", "expected"), [(1024, 10), (2048, 5), (512, 20)])
def test_zeiss_states_a_pixel_of_a_screen_of_1024(tmp_path, caplog, width, expected):
    text = "0\r\nAP_PIXEL_SIZE\r\nPixel Size = 10.0 nm\r\n"
    write(tmp_path / "a.tif", tags=[(34118, text)], pixels=np.zeros((8, width), np.uint8))
    with caplog.at_level(logging.INFO, "temzoo.micrographs"):
        assert scale(tmp_path / "a.tif") == pytest.approx((expected, expected))
    assert ("on a screen of 1024 px" in caplog.text) == (width != 1024)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (34118, "0\r\nAP_PIXEL_SIZE\r\nPixel Size = lots nm\r\n"),
        (34118, "AP_IMAGE_PIXEL_SIZE"),
        (34680, "no sections"),
        (34682, "[Scan]\r\nPixelWidth=wide\r\nPixelHeight=high\r\n"),
        (33560, "SIS0"),
        (37706, "short"),
        (50431, "[MAIN]\r\nPixelSizeX\r\n"),
    ],
)
def test_a_tag_that_cannot_be_read_leaves_the_image_without_calibration(tmp_path, code, text):
    loaded = load_micrograph(write(tmp_path / "a.tif", tags=[(code, text)]))
    assert np.array_equal(loaded.pixels, PIXELS)
    assert loaded.nm_per_pixel is None


def test_tescan_states_metres_in_its_tag(tmp_path):
    text = "[MAIN]\r\nDevice=X\r\nPixelSizeX=5e-9\r\nPixelSizeY=4e-9\r\n[SEM]\r\nHV=5000\r\n"
    write(tmp_path / "a.tif", tags=[(50431, text)])
    assert scale(tmp_path / "a.tif") == pytest.approx((4, 5))


@pytest.mark.parametrize(("unit", "per_unit"), [(4, 1e6 / 5), (5, 1e3 / 5)])
def test_resolution_units_of_millimetres_and_micrometres_are_read(tmp_path, unit, per_unit):
    write(tmp_path / "a.tif", resolution=(per_unit, 2 * per_unit), resolutionunit=unit)
    assert scale(tmp_path / "a.tif") == pytest.approx((2.5, 5), rel=1e-4)


FINE = {"resolution": (2.54e6, 2.54e6), "resolutionunit": "INCH"}  # 10 nm, if it were a length


@pytest.mark.parametrize("unit", ["1/nm", "rad", "mrad"])
def test_a_unit_that_is_no_length_ends_the_search(tmp_path, caplog, unit):
    description = f"ImageJ=1.54f\nunit={unit}\n"
    with caplog.at_level(logging.INFO, "temzoo.micrographs"):
        assert scale(write(tmp_path / "a.tif", description=description, **FINE)) is None
        tags = [(65003, unit), (65004, unit)]
        assert scale(write(tmp_path / "b.tif", tags=tags, **FINE)) is None
    assert caplog.text.count(f": units of {unit}, which is no size of a pixel") == 2


@pytest.mark.parametrize("unit", ["", "pixel", "pixels"])
def test_pixels_are_no_unit_and_the_search_goes_on(tmp_path, unit):
    write(tmp_path / "a.tif", description=f"ImageJ=1.54f\nunit={unit}\n", **FINE)
    assert scale(tmp_path / "a.tif") == pytest.approx((10, 10))


@pytest.mark.parametrize("size", [1e221, 1e10, 1e-10])
def test_a_size_by_hand_that_no_pixel_has_is_refused(size):
    with pytest.raises(ValueError, match=r"from 1e-09 to 1e\+09, a metre\. Received: .*Give it in"):
        checked_scale(size)


JEOL = "$CM_FULL_SIZE {width} 64\r\n$$SM_MICRON_BAR 100\r\n$$SM_MICRON_MARKER {length}\r\n"
HITACHI = "[SemImageFile]\r\nDataSize={width}x64\r\nPixelSize=9.921875\r\n"
TESCAN = "[MAIN]\r\nPixelSizeX=5e-9\r\nPixelSizeY=4e-9\r\n"
BESIDE = {
    "a.txt": (JEOL.format(width=96, length="500nm"), (5, 5)),
    "a.TXT": (JEOL.format(width=96, length="1um"), (10, 10)),
    "a.hdr": (TESCAN, (4, 5)),
    "a-tif.hdr": (TESCAN, (4, 5)),
}


@pytest.mark.parametrize("name", BESIDE)
def test_a_text_file_beside_a_picture_calibrates_it(tmp_path, name):
    write(tmp_path / "a.tif", **DPI)
    text, expected = BESIDE[name]
    (tmp_path / name).write_text(text)
    loaded = load_micrograph(tmp_path / "a.tif")
    assert loaded.nm_per_pixel == pytest.approx(expected)
    assert loaded.calibration == f"{name} beside it"
    assert load_micrograph(tmp_path / "a.tif", nm_per_pixel=3).nm_per_pixel == (3, 3)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
@pytest.mark.parametrize("suffix", [".tif", ".jpg", ".bmp", ".png"])
def test_hitachis_text_file_calibrates_each_kind_of_picture(tmp_path, encoding, suffix):
    Image.fromarray(PIXELS).save(tmp_path / f"a{suffix}")
    (tmp_path / "a.txt").write_bytes(HITACHI.format(width=96).encode(encoding))
    assert scale(tmp_path / f"a{suffix}") == pytest.approx((9.921875, 9.921875))


@pytest.mark.parametrize("text", [JEOL.format(width=192, length="1um"), HITACHI.format(width=192)])
def test_a_text_file_of_another_size_is_passed_over_with_a_word(tmp_path, caplog, text):
    write(tmp_path / "a.tif")
    (tmp_path / "a.txt").write_text(text)
    with caplog.at_level(logging.INFO, "temzoo.micrographs"):
        assert scale(tmp_path / "a.tif") is None
    assert "a.txt is of an image 192 px wide, so it is passed over" in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "notes",
        "\x00\xff" * 500,
        JEOL.format(width=96, length="lots"),
        "[SemImageFile]\nPixelSi",
    ],
)
def test_a_text_file_of_something_else_is_none(tmp_path, text):
    write(tmp_path / "a.tif")
    (tmp_path / "a.txt").write_bytes(text.encode("latin-1"))
    loaded = load_micrograph(tmp_path / "a.tif")
    assert (loaded.nm_per_pixel, loaded.calibration) == (None, "")


def test_the_files_own_size_goes_before_that_beside_it(tmp_path):
    write(tmp_path / "a.tif", description="ImageJ=1.54f\nunit=nm\n", resolution=(2, 2))
    (tmp_path / "a.txt").write_text(JEOL.format(width=96, length="500nm"))
    assert scale(tmp_path / "a.tif") == (0.5, 0.5)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_other_colours_become_rgb(tmp_path, mode, compression):
    if (mode, compression) == ("YCbCr", None) and int(PIL.__version__.split(".")[0]) < 13:
        pytest.skip("Pillow reads YCbCr that is not compressed from 13 on")
    rows, cols = np.mgrid[:24, :30]  # what L*a*b* in 8 bits can tell apart
    colours = np.stack([60 + rows * 5, 80 + cols * 3, 160 - rows * 2], axis=-1).astype(np.uint8)
    stored = _as(Image.fromarray(colours), mode)
    stored.save(tmp_path / "a.tif", compression=compression)
    loaded = load_micrograph(tmp_path / "a.tif").pixels
    assert loaded.shape == colours.shape
    assert np.abs(loaded.astype(int) - colours).max() <= (16 if mode == "LAB" else 3)


def _as(image, mode):
    if mode != "LAB":
        return image.convert(mode)
    from PIL import ImageCms

    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return ImageCms.profileToProfile(image, *profiles, outputMode="LAB")


def test_grey_stored_as_cmyk_is_that_grey(tmp_path):
    ink = np.zeros((*PIXELS.shape, 4), np.uint8)
    ink[..., 3] = 255 - PIXELS
    tifffile.imwrite(tmp_path / "a.tif", ink, photometric="separated")
    assert np.array_equal(load_micrograph(tmp_path / "a.tif").pixels[..., 1], PIXELS)


def test_other_colours_of_16_bits_are_refused(tmp_path):
    ink = np.zeros((9, 8, 4), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", ink, photometric="separated")
    with pytest.raises(MicrographError, match=r"a\.tif: colours must .*Received: SEPARATED of 16"):
        load_micrograph(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        (34118, "\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 2,5 nm\r\n"),
        (34118, "\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 2.5nm\r\n"),
        (34682, "[Scan]\r\nPixelWidth=2,5e-9\r\nPixelHeight=2,5E-09\r\n"),
        (50431, "[MAIN]\r\nPixelSizeX=2,5e-9\r\nPixelSizeY=2,5e-9\r\n"),
    ],
)
def test_numbers_may_have_a_decimal_comma(tmp_path, tag, text):
    write(tmp_path / "a.tif", tags=[(tag, text)], **DPI)
    assert scale(tmp_path / "a.tif") == pytest.approx((2.5, 2.5))


@pytest.mark.parametrize("beam", ["EScan", "IScan"])
def test_fei_states_the_scan_of_a_beam_where_the_scan_in_general_has_no_size(tmp_path, beam):
    text = f"[Scan]\r\nInternalScan=true\r\n[{beam}]\r\nPixelWidth=3e-9\r\nPixelHeight=4e-9\r\n"
    write(tmp_path / "a.tif", tags=[(34682, text)])
    assert scale(tmp_path / "a.tif") == pytest.approx((4, 3))


TITAN = """<?xml version="1.0"?><m:Metadata xmlns:m="http://fei/1"><m:Stage><X>7</X></m:Stage>
<m:PixelSize><X unit="m">3e-9</X><Y unit="m">4e-9</Y></m:PixelSize></m:Metadata>"""
PHENOM = """<?xml version="1.0"?><FeiImage><databarHeight>64</databarHeight>
<pixelWidth unit="um">0.003</pixelWidth><pixelHeight unit="um">0.004</pixelHeight></FeiImage>"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [(TITAN, (4, 3)), (PHENOM, (4, 3)), (PHENOM.replace("um", "1/um"), None), ("", None)],
)
def test_fei_states_the_size_as_xml_too(tmp_path, text, expected):
    write(tmp_path / "a.tif", tags=[(34682, ""), (34683, text)])
    assert scale(tmp_path / "a.tif") == (expected and pytest.approx(expected))


@pytest.mark.parametrize(
    ("unit", "nm"),
    [
        (r"\u00b5m", 1e3),
        (r"\u03BCm", 1e3),
        (r"\xb5m", 1e3),
        (r"\u212B", 0.1),
        ("centimetre", 1e7),
        ("inches", 2.54e7),
        ("Millimetres", 1e6),
        ("picometers", 1e-3),
        ("nm/pixel", 1),
        ("nm per px", 1),
        ("1/nm", None),
        (r"\u00zzm", None),
    ],
)
def test_units_are_read_however_they_are_spelt(tmp_path, unit, nm):
    pixels_per_unit = (nm or 1) / 2
    write(
        tmp_path / "a.tif",
        description=f"ImageJ=1.54f\nunit={unit}\n".encode(),
        resolution=(pixels_per_unit, pixels_per_unit),
        resolutionunit=1,
    )
    assert scale(tmp_path / "a.tif") == (nm and pytest.approx((2, 2)))
