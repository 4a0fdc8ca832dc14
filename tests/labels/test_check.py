"""Each finding on a drawn case of it, and none of them on a clean label set."""

import math
import re
import sys
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage.morphology import convex_hull_image

from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.check import check
from temzoo.labels.check_report import Finding, in_figures, to_text
from temzoo.labels.formats import cvat
from temzoo.labels.shapes import soundness, windows
from temzoo.labels.shapes.run_lengths import encode_runs
from temzoo.pages.label_check import to_html

WIDTH, HEIGHT = 120, 100


def shape(kind, points, label="particle", **tags):
    return Shape(kind, label, np.array(points, dtype=np.float64).reshape(-1, 2), **tags)


def box(top, left, bottom, right, label="particle", **tags):
    return shape("box", [[top, left], [bottom, right]], label, **tags)


def disc(row, col, radius, label="particle", **tags):
    return shape("ellipse", [[row, col], [radius, radius]], label, **tags)


def mask_shape(pixels, top, left, **tags):
    corners = [[top, left], [top + pixels.shape[0], left + pixels.shape[1]]]
    return shape("mask", corners, runs=encode_runs(pixels), **tags)


def image(*shapes, name="a.png", width=WIDTH, height=HEIGHT, classes=("particle",)):
    return LabelledImage(name, width, height, tuple(shapes), classes)


CLEAN = (
    disc(20, 20, 12),
    shape("ellipse", [[60, 30], [8, 20]], rotation=30),
    box(5, 60, 25, 100, rotation=10),
    shape("polygon", [[60, 70], [60, 110], [90, 100], [95, 60]]),
    mask_shape(np.ones((6, 7), dtype=bool), 90, 5),
)
GAP = (disc(50, 40, 15), disc(50, 69, 15), disc(50 - 29 * math.sqrt(3) / 2, 54.5, 15))
BRIDGE = box(25, 55, 27, 85)
BITTEN = [[10, 10], [10, 60], [30, 60], [30, 30], [60, 30], [60, 10]]
SPECKLED = np.pad(np.ones((20, 20)), ((0, 9), (0, 9)))
SPECKLED[-1, -1] = 1


def write_image(folder, name="a.png", width=WIDTH, height=HEIGHT):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)
    cv2.imwrite(str(path), pixels)
    return path


def codes(report):
    return {finding.code for finding in report.findings}


def only(report, code):
    (finding,) = [finding for finding in report.findings if finding.code == code]
    return finding


def test_clean_label_set_has_no_finding_and_exit_status_0(tmp_path):
    write_image(tmp_path)
    write_image(tmp_path, "lot 3/b é.png")
    images = [image(*CLEAN), image(*CLEAN, name="lot 3/b é.png")]
    report = check(images, image_folder=tmp_path)
    assert report.findings == ()
    assert report.exit_status == 0
    assert check(images, image_sizes={"a.png": (HEIGHT, WIDTH)}).findings == ()


@pytest.mark.parametrize(
    ("shapes", "level", "code", "index", "text"),
    [
        ([box(5, 130, 9, 140)], "error", "off-image", 0, "wholly outside"),
        ([disc(20, 20, 5), disc(-30, 20, 30)], "error", "off-image", 1, "wholly outside"),
        ([shape("points", [[-5, -5]])], "error", "off-image", 0, "wholly outside"),
        ([disc(5, 50, 10)], "info", "partly-off-image", 0, "rows -5.0 to 15.0"),
        (
            [shape("polygon", [[1, 1], [9, 9]])],
            "error",
            "degenerate-shape",
            0,
            r"2 point\(s\), where a polygon takes 3",
        ),
        ([shape("polygon", [])], "error", "degenerate-shape", 0, r"0 point\(s\)"),
        (
            [shape("polygon", [[1, 1], [5, 5], [9, 9], [3, 3]])],
            "error",
            "degenerate-shape",
            0,
            "on one line",
        ),
        ([box(5, 5, 5, 9)], "error", "degenerate-shape", 0, "the box is of zero size"),
        ([disc(5, 5, 0)], "error", "degenerate-shape", 0, "the ellipse is of zero size"),
        ([mask_shape(np.zeros((4, 5)), 3, 3)], "error", "degenerate-shape", 0, "without pixels"),
        (
            [shape("mask", [[0, 0], [2, 2]], runs=np.array([1, 2]))],
            "error",
            "degenerate-shape",
            0,
            "sum to height x width",
        ),
        (
            [shape("polyline", [[5, 5]])],
            "error",
            "degenerate-shape",
            0,
            r"1 point\(s\), where a polyline takes 2",
        ),
        ([shape("polyline", [[5, 5], [5, 5]])], "error", "degenerate-shape", 0, "zero length"),
        (
            [shape("polygon", [[1, 1], [np.nan, 5], [9, 9]])],
            "error",
            "degenerate-shape",
            0,
            "must be finite",
        ),
        (
            [shape("polygon", [[10, 10], [40, 41], [10, 40], [41, 10]])],
            "warning",
            "self-intersecting",
            0,
            r"near row 25\.\d, column 25",
        ),
        (
            [disc(50, 50, 20), disc(50, 50.2, 20)],
            "warning",
            "duplicate-shape",
            1,
            r"shape 0 of the same label \(IoU 0.9",
        ),
        ([shape("polygon", BITTEN)], "warning", "concave-mask", 0, "fills 7.% of its convex"),
        (
            [mask_shape(SPECKLED, 9, 9)],
            "warning",
            "in-pieces",
            0,
            "in 2 pieces, the smallest of 1 px; box and diam",
        ),
        ([*GAP], "info", "ragged-seam", 0, "enclosed between shapes 0, 1, 2"),
        (
            [box(5, 5, 45, 20), box(5, 20, 20, 85), box(25, 20, 45, 85), box(20, 30, 25, 85)],
            "warning",
            "enclosed-hole",
            0,
            "50 px of background .*enclosed between shapes 0, 1, 2, 3",
        ),
        ([box(5, 5, 9, 9), box(0, 0, 30, 30)], "warning", "covered-object", 0, "lie over"),
        ([box(3.6, 3.6, 4.4, 4.4)], "warning", "without-pixel", 0, "no pixel's centre"),
        ([disc(20, 20, 5, "partcle")], "warning", "undeclared-label", 0, "mean 'particle'"),
    ],
)
def test_finding_on_a_shape(shapes, level, code, index, text):
    finding = only(check([image(*shapes)]), code)
    assert (finding.level, finding.image, finding.shape_index) == (level, "a.png", index)
    assert re.search(text, finding.text)
    assert check([image(*shapes)]).exit_status == (level == "error")


def test_undeclared_label_unlike_every_class_suggests_none():
    found = only(check([image(box(5, 5, 9, 9, "l"), classes=("zz", "pa"))]), "undeclared-label")
    assert "Did you mean" not in found.text


@pytest.mark.parametrize(
    ("shapes", "absent"),
    [
        # Vertices on the border are in the image.
        ([box(0, 0, HEIGHT, WIDTH)], {"partly-off-image", "off-image"}),
        # A bow tie has an area though its signed area is zero.
        ([shape("polygon", [[0, 0], [20, 20], [0, 20], [20, 0]])], {"degenerate-shape"}),
        # Neighbours' edges meet in their vertex, and a vertex may lie on another edge.
        (
            [shape("polygon", [[0, 0], [0, 40], [20, 20], [40, 40], [40, 0], [20, 20]])],
            {"self-intersecting"},
        ),
        ([disc(50, 50, 20), disc(50, 50, 20, "void")], {"duplicate-shape"}),
        ([disc(50, 50, 20), disc(50, 51.5, 20)], {"duplicate-shape"}),
        # Pixelated convex outlines of any size, and a tiny L.
        ([*CLEAN, disc(50, 90, 2.3), disc(70, 20.5, 1.2)], {"concave-mask"}),
        (
            [shape("polygon", np.array(BITTEN) / 8)],
            {"concave-mask", "without-pixel"},
        ),
        # A grouped piece of an object is known to be one.
        ([shape("polygon", BITTEN, group_id=1)], {"concave-mask"}),
        ([mask_shape(SPECKLED, 9, 9, group_id=1)], {"in-pieces"}),
        # A hole in one mask lies between no two; a wide ring encloses true background.
        (
            [mask_shape(np.pad(np.zeros((3, 3)), 4, constant_values=1), 9, 9)],
            {"enclosed-hole", "ragged-seam"},
        ),
        (
            [box(10, 10, 15, 90), box(75, 10, 80, 90), box(10, 10, 80, 15), box(10, 85, 80, 90)],
            {"enclosed-hole", "ragged-seam"},
        ),
        # Two discs apart, and a gap open to the border.
        ([disc(50, 20, 10), disc(50, 60, 10)], {"enclosed-hole", "ragged-seam", "covered-object"}),
        (
            [box(0, 0, 10, 20), box(0, 22, 10, 40), box(10, 0, 20, 40)],
            {"enclosed-hole", "ragged-seam"},
        ),
        ([box(0, 0, 30, 30), box(5, 5, 9, 9)], {"covered-object"}),
    ],
)
def test_no_finding_where_there_is_nothing_to_find(shapes, absent):
    assert not codes(check([image(*shapes)])) & absent


def test_holes_are_patches_joined_through_edges_that_reach_no_border():
    numbers = np.ones((6, 7), int)
    numbers[:, 4:] = 2
    numbers[1, 1] = numbers[2, 2] = numbers[3, 3] = numbers[3, 4] = numbers[4, 4] = 0
    numbers[0, 6] = numbers[5, 1] = 0  # at the border
    assert soundness.enclosed_holes(numbers) == [
        soundness.Hole(1, 1, 1, (1,)),
        soundness.Hole(2, 2, 1, (1,)),
        soundness.Hole(3, 3, 3, (1, 2)),
    ]


def test_three_copies_are_two_findings_that_name_the_first():
    report = check([image(*[disc(50, 50, 20)] * 3)])
    found = [finding for finding in report.findings if finding.code == "duplicate-shape"]
    assert [finding.shape_index for finding in found] == [1, 2]
    assert all("shape 0" in finding.text for finding in found)


def test_ragged_seam_is_one_finding_that_sums_its_gaps():
    left, right = np.ones((60, 30), dtype=bool), np.ones((60, 30), dtype=bool)
    for row in (5, 15, 25, 35):
        left[row : row + row // 5, -1] = False
    report = check([image(mask_shape(left, 10, 10), mask_shape(right, 10, 40))])
    finding = only(report, "ragged-seam")
    assert "4 patches of background, 16 px together, the largest of 7 px" in finding.text
    assert finding.place == (45.5, 39.5)


def test_hole_beside_a_shape_with_an_error_still_names_file_indices():
    report = check([image(shape("polygon", [[1, 1]]), *GAP)])
    assert "shapes 1, 2, 3" in only(report, "ragged-seam").text


def test_findings_on_the_whole_set():
    report = check(
        [
            image(disc(20, 20, 5), shape("polyline", [[1, 1], [9, 9]]), classes=("particle", "x")),
            image(shape("points", [[3, 3]]), name="b.png", width=64),
            image(name="c.png"),
            image(disc(20, 20, 5), name="c.png"),
        ]
    )
    found = {(finding.level, finding.code, finding.image) for finding in report.findings}
    assert found == {
        ("warning", "sizes-differ", ""),
        ("warning", "image-without-labels", "c.png"),
        ("warning", "repeated-name", "c.png"),
        ("info", "no-area", ""),
        ("info", "unused-class", ""),
    }
    texts = " ".join(finding.text for finding in report.findings)
    assert "1 of kind polyline, which has no area: it takes a line width" in texts
    assert "1 of kind points, which has no area: it makes no mask" in texts
    assert "class 'x' is declared" in texts
    assert report.sizes == {(HEIGHT, WIDTH): 3, (HEIGHT, 64): 1}
    assert report.exit_status == 0


def test_empty_label_set_and_image_without_size_are_errors():
    assert only(check([]), "no-images").level == "error"
    report = check([image(disc(5, 5, 3), width=0)])
    assert only(report, "image-without-size").level == "error"


def test_files_are_compared_with_the_labels(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rsciio", None)  # as if it were not installed
    write_image(tmp_path, "a.png")
    write_image(tmp_path, "wide.png", width=WIDTH + 7)
    write_image(tmp_path, "lot2/extra.tif")
    write_image(tmp_path, "deep/elsewhere.png")
    write_image(tmp_path, "frame_0003.jpg")
    write_image(tmp_path, "x/twice.png")
    write_image(tmp_path, "y/twice.png")
    (tmp_path / "broken.png").write_bytes(b"no image at all")
    (tmp_path / "scan.dm4").write_bytes(b"\0\0\0\4" + bytes(60))
    (tmp_path / "notes.txt").write_text("not an image")
    names = ["a.png", "wide.png", "gone.png", "elsewhere.png", "broken.png", "scan.dm4"]
    names += ["frame_0003", "twice.png", "extr.tif"]
    report = check([image(*CLEAN, name=name) for name in names], image_folder=tmp_path)
    found = {(each.level, each.code, each.image): each.text for each in report.findings}
    assert set(found) == {
        ("error", "size-differs-from-file", "wide.png"),
        ("error", "labels-without-file", "gone.png"),
        ("error", "labels-without-file", "extr.tif"),
        ("error", "ambiguous-file", "twice.png"),
        ("error", "unreadable-file", "broken.png"),
        ("info", "size-not-read", "scan.dm4"),
        ("warning", "file-without-labels", "lot2/extra.tif"),
        ("warning", "sizes-differ", ""),
    }
    wide = found[("error", "size-differs-from-file", "wide.png")]
    assert f"{HEIGHT} x {WIDTH} px (height x width), the image has {HEIGHT} x {WIDTH + 7}" in wide
    assert "There is 'extra.tif'" in found[("error", "labels-without-file", "extr.tif")]
    assert "x/twice.png, " in found[("error", "ambiguous-file", "twice.png")]
    assert "cannot be read" in found[("error", "unreadable-file", "broken.png")]
    assert "pip install 'temzoo[microscopes]'" in found[("info", "size-not-read", "scan.dm4")]
    assert report.exit_status == 1


def test_image_turned_by_its_exif_has_the_size_that_is_shown(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (HEIGHT, WIDTH)).save(tmp_path / "a.jpg", exif=exif)
    assert check([image(*CLEAN, name="a.jpg")], image_folder=tmp_path).findings == ()


def test_float_and_16_bit_tiff_sizes_are_read(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((HEIGHT, WIDTH), np.float64))
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((HEIGHT, WIDTH), np.uint16))
    images = [image(*CLEAN, name=name) for name in ("a.tif", "b.tif")]
    assert check(images, image_folder=tmp_path).findings == ()


def test_given_sizes_are_compared_with_the_labels():
    report = check([image(*CLEAN)], image_sizes={"a.png": (WIDTH, HEIGHT)})
    assert codes(report) == {"size-differs-from-file"}


@pytest.mark.parametrize("name", ["../a.png", "lot/../../a.png", "/etc/a.png", "C:\\a.png"])
def test_name_that_leaves_the_folder_is_an_error(tmp_path, name):
    inner = tmp_path / "images"
    write_image(inner, "b.png")
    write_image(tmp_path, "a.png")
    images = [image(*CLEAN, name=name), image(*CLEAN, name="b.png")]
    for report in (check(images), check(images, image_folder=inner)):
        assert codes(report) == {"name-leaves-folder"}
        assert report.exit_status == 1
    assert "without '..'" in only(report, "name-leaves-folder").text


def test_link_that_leads_out_of_the_folder_is_an_error(tmp_path):
    outer = write_image(tmp_path, "secret.png")
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.png").symlink_to(outer)
    report = check([image(*CLEAN)], image_folder=tmp_path / "images")
    assert "outside" in only(report, "name-leaves-folder").text


def test_size_of_a_very_large_image_is_read_from_its_header(tmp_path, monkeypatch):
    write_image(tmp_path)
    # As if the image had more pixels than Pillow opens.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert check([image(*CLEAN)], image_folder=tmp_path).findings == ()
    assert Image.MAX_IMAGE_PIXELS == 100


def test_folder_and_sizes_exclude_each_other_and_the_folder_must_exist(tmp_path):
    with pytest.raises(ValueError, match=r"exclude each other\. Received: both"):
        check([image()], image_folder=tmp_path, image_sizes={})
    with pytest.raises(NotADirectoryError, match=r"must be a folder of images.*'.*gone'"):
        check([image()], image_folder=tmp_path / "gone")


def test_counts_sizes_and_touching_pairs():
    report = check(
        [
            image(box(0, 0, 10, 10), box(0, 10, 10, 20), box(9, 19, 30, 40), box(30, 41, 40, 50)),
            image(
                box(0, 0, 4, 5, group_id=2),
                box(10, 0, 14, 5, group_id=2),
                box(50, 50, 60, 60, "void"),
                shape("tag", [], "void"),
                name="b.png",
            ),
        ]
    )
    # Corners that meet do not touch; an overlap and a shared edge do.
    assert report.touching_pairs == 2
    first = "2 images, 8 shapes that make 6 objects, 2 touching pairs\n"
    assert to_text(report).startswith(first)
    assert report.kinds == {"box": 7, "tag": 1}
    assert (report.images, report.shapes) == (2, 8)
    particle, void = report.classes
    assert (particle.label, particle.shapes, particle.objects, particle.images) == (
        "particle",
        6,
        5,
        2,
    )
    assert particle.area_px == (40, 100, 441)
    assert particle.diameter_px[1] == pytest.approx(math.sqrt(400 / math.pi))
    assert (void.shapes, void.objects, void.area_px) == (2, 1, (100, 100, 100))


def test_text_groups_findings_and_counts_beyond_ten():
    images = [image(box(5, 130, 9, 140), name=f"{k}.png") for k in range(33)]
    text = to_text(check([*images, image(disc(5, 50, 10), name="cut.png")]))
    assert "error: off-image (33)\n  0.png, shape 0: it lies wholly outside" in text
    assert "  … and 23 more\n" in text
    assert text.index("off-image") < text.index("info: partly-off-image: cut.png, shape 0: it")
    assert text.endswith("errors: 33, warnings: 0, infos: 1; --all lists the 23 that are not shown")
    assert "height x width in px (images): 100 x 120 (34)" in text
    assert re.search(r"particle +1 +34 ", text)


def test_text_has_a_line_for_each_kind_of_warning_and_all_of_them_when_asked():
    report = check([image(shape("polygon", BITTEN), name=f"{k}.png") for k in range(4)])
    text = to_text(report)
    assert text.count("fills 7") == 1
    assert "warning: concave-mask (4), such as: 0.png, shape 0: concave: it fills 7" in text
    assert text.endswith("--all lists the 3 that are not shown")
    every = to_text(report, every=True)
    assert "warning: concave-mask (4)\n  0.png, shape 0: concave" in every
    assert every.count("fills 7") == 4
    assert every.endswith("errors: 0, warnings: 4, infos: 0")


def test_gap_that_is_small_beside_its_objects_is_a_note():
    report = check([image(box(5, 5, 45, 45), box(5, 45, 25, 85), box(27, 45, 45, 85), BRIDGE)])
    finding = only(report, "ragged-seam")
    assert (finding.level, finding.shape_index) == ("info", 0)
    assert "20 px of background" in finding.text
    assert "below 1% of the area of these" in finding.text


def test_text_lets_no_control_character_of_a_name_through():
    text = to_text(check([image(name="a\x1b[2Jb\n.png")]))
    assert "\x1b" not in text
    assert "a\\x1b[2Jb\\n.png" in text


EVIL = '"><script>alert(1)</script>&.png'


def drawn_page(tmp_path, shapes, name="a.png", with_images=True):
    folder = tmp_path / "images"
    write_image(folder)
    images = [image(*shapes, name=name)]
    report = check(images)
    path = tmp_path / "check.html"
    to_html(report, images, path, image_folder=folder if with_images else None)
    return path.read_text(encoding="utf-8"), report


def test_page_draws_each_kind_over_the_embedded_image_and_fetches_nothing(tmp_path):
    pixels = np.kron(np.array([[1, 1], [1, 0]]), np.ones((10, 10))).astype(bool)
    shapes = [
        shape("polygon", BITTEN),
        mask_shape(pixels, 70, 80),
        disc(-40, 20, 10),
        box(90, 110, 110, 130, rotation=20),
        shape("polyline", [[-9, 3], [-5, 8]]),
    ]
    text, report = drawn_page(tmp_path, shapes)
    assert codes(report) >= {"concave-mask", "off-image", "partly-off-image"}
    for element in ("<path", "<ellipse", "<rect", "data:image/jpeg;base64,"):
        assert element in text
    assert 'transform="rotate(20.000 120.00 100.00)"' in text
    assert not re.search(r"(?:href|src)=\"(?!data:|#)", text)
    assert "http" not in text.replace("http-equiv", "")
    assert "<script" not in text


def test_page_outlines_lie_where_the_shapes_are(tmp_path):
    text, _ = drawn_page(tmp_path, [shape("polygon", BITTEN)])
    figure = ElementTree.fromstring(re.search(r"<svg viewBox=\"0 0 120.*?</svg>", text)[0])
    path = figure.find("g/path").get("d")
    points = [[float(v) for v in pair.split()] for pair in path.strip("MZ").split("L")]
    assert [[row, col] for col, row in points] == BITTEN
    embedded = figure.find("image")
    assert (embedded.get("width"), embedded.get("height")) == ("120", "100")


def test_page_escapes_names_and_labels(tmp_path):
    shapes = [disc(20, 20, 5, EVIL), disc(-40, 20, 10, "<b>")]
    text, _ = drawn_page(tmp_path, shapes, name=EVIL)
    assert "<script" not in text
    assert "<b>" not in text.replace('<b class="', "")
    assert "&lt;script&gt;" in text


def test_page_without_images_draws_on_grey(tmp_path):
    text, _ = drawn_page(tmp_path, [shape("polygon", BITTEN)], with_images=False)
    assert "<image" not in text
    assert 'class="line"' in text


def test_page_survives_shapes_that_cannot_be_drawn(tmp_path):
    shapes = [
        shape("polygon", [[1, 1], [np.nan, 5], [9, 9]]),
        shape("mask", [[0, 0], [2, 2]], runs=np.array([1, 2])),
        shape("polygon", []),
        disc(5, 5, -1),
    ]
    text, report = drawn_page(tmp_path, shapes)
    assert len(report.findings) == 4
    assert text.count("<li ") == 4
    assert "nan" not in re.search(r"<svg viewBox=\"0 0 120.*?</svg>", text)[0]


def test_page_takes_16_bit_images_and_names_from_outside(tmp_path):
    pixels = np.linspace(0, 60_000, 100 * 120).reshape(100, 120).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    images = [image(shape("polygon", BITTEN)), image(disc(-40, 20, 3), name="../a.png")]
    to_html(check(images), images, tmp_path / "p.html", image_folder=tmp_path)
    text = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert text.count("data:image/jpeg") == 1
    assert text.count("<section>") == 2


def test_page_numbers_an_outline_where_it_is(tmp_path):
    slanted = shape("polygon", [[90, 5], [80, 5], [10, 70], [20, 75]])
    again = shape("polygon", [[90, 5], [80, 5], [10, 70], [20, 75]])
    text, _ = drawn_page(tmp_path, [slanted, again])
    number = re.search(r'<text x="([\d.]+)" y="([\d.]+)"[^>]*>1<', text)
    assert [float(place) for place in number.groups()] == [70, 10]


def test_page_writes_large_sizes_out():
    assert in_figures((8, 34.9274, 266_604)) == "8, 34.93, 266604"
    assert in_figures(None) == "–"


def test_page_draws_at_most_60_images_and_lists_the_others(tmp_path):
    images = [image(box(5, 130, 9, 140), name=f"{k}.png") for k in range(70)]
    to_html(check(images), images, tmp_path / "p.html")
    text = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert text.count('<svg viewBox="0 0 120') == 60
    assert text.count("<section>") == 70
    assert "The first 60 images with flagged shapes are drawn. 10 more are listed" in text


def test_page_of_an_old_file_stays_when_writing_fails(tmp_path):
    path = tmp_path / "p.html"
    path.write_text("old")
    broken = [Finding("fatal", "x", "a.png", 0, "no such level")]
    report = check([image(disc(5, 5, 3))])
    images = [image(disc(5, 5, 3))]
    with pytest.raises(KeyError):
        to_html(type(report)(**{**vars(report), "findings": tuple(broken)}), images, path)
    assert path.read_text() == "old"


@pytest.mark.parametrize("seed", range(5))
def test_solidity_agrees_with_the_convex_hull_image_and_is_1_for_convex_shapes(seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((60, 60), dtype=bool)
    for row, col in rng.uniform(15, 45, (4, 2)):
        mask |= windows.shape_mask(disc(row, col, rng.uniform(3, 12)), 60, 60)
    hull = convex_hull_image(mask, offset_coordinates=False, include_borders=True)
    assert soundness.solidity(mask) == pytest.approx(mask.sum() / hull.sum(), abs=1e-12)
    for radius in (0.8, 1.5, 2.7, 9.3):
        tilted = shape("ellipse", [rng.uniform(20, 30, 2), [radius, 2 * radius]], rotation=33.0)
        assert soundness.solidity(windows.shape_mask(tilted, 60, 60)) == 1


@pytest.mark.parametrize("seed", range(3))
def test_crossings_and_pairs_of_the_sweep_equal_brute_force(seed, monkeypatch):
    monkeypatch.setattr(soundness, "PAIRS_AT_ONCE", 7)
    rng = np.random.default_rng(seed)
    windows = [
        (int(r), int(c), rng.random((int(h), int(w))) > 0.5)
        for r, c, h, w in np.column_stack(
            [rng.integers(0, 60, (40, 2)), rng.integers(1, 15, (40, 2))]
        )
    ]
    pairs = sorted(soundness.near_pairs(windows))
    masks = np.zeros((40, 80, 80), dtype=bool)
    for mask, (row, col, window) in zip(masks, windows, strict=True):
        mask[row : row + window.shape[0], col : col + window.shape[1]] = window
    assert len(pairs) == len(set(pairs))
    for i in range(40):
        for j in range(i + 1, 40):
            shared = int((masks[i] & masks[j]).sum())
            grown = masks[i].copy()
            grown[1:] |= masks[i][:-1]
            grown[:-1] |= masks[i][1:]
            grown[:, 1:] |= masks[i][:, :-1]
            grown[:, :-1] |= masks[i][:, 1:]
            touching = bool((grown & masks[j]).any())
            if (i, j) in pairs:
                assert soundness.shared_pixels(windows[i], windows[j]) == (shared, touching)
            else:
                assert not touching
    corners = np.sort(rng.uniform(0, 2 * math.pi, 60))
    ring = 50 + 40 * np.stack([np.sin(corners), np.cos(corners)], axis=1)
    assert soundness.self_crossing(ring) is None
    ring[[20, 40]] = ring[[40, 20]]
    assert soundness.self_crossing(ring) is not None


@pytest.mark.shared
def test_emps_has_no_errors(shared):
    images = cvat.read(shared / "data/emps/annotations.xml")
    report = check(images, image_folder=shared / "data/emps/images")
    assert report.exit_status == 0
    assert (report.images, report.classes[0].objects) == (366, 8927)
    assert codes(report) >= {"sizes-differ", "concave-mask", "enclosed-hole"}


def test_labels_without_any_area_are_an_error_in_those_words():
    points = shape("points", [[4, 4], [9, 9]])
    report = check([image(points), image(points, disc(20, 20, 9, label="ignore"), name="b.png")])
    found = only(report, "nothing-to-learn")
    assert found.level == "error"
    assert found.text.startswith("there is nothing to learn masks from: no shape has an area, of 2")
    assert report.exit_status == 1
