"""CVAT 1.1 XML: what is read, what is written, and what is refused in which words."""

import re
import subprocess
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.formats import cvat, cvat_writing

TRIANGLE = '<polygon label="a" points="1,2;3,4;6,5"/>'


def document(body, meta=""):
    return f"<annotations><version>1.1</version><meta>{meta}</meta>{body}</annotations>"


def image_of(shapes, *, attributes='id="0" name="a.png" width="8" height="9"'):
    return document(f"<image {attributes}>{shapes}</image>")


@pytest.fixture
def read_text(tmp_path):
    def read(text):
        path = tmp_path / "annotations.xml"
        path.write_text(text, encoding="utf-8")
        return cvat.read(path)

    return read


def read_shape(read_text, element):
    ((shape,),) = [image.shapes for image in read_text(image_of(element))]
    return shape


def test_polygon_x_y_becomes_row_col(read_text):
    shape = read_shape(read_text, TRIANGLE)
    assert (shape.kind, shape.label) == ("polygon", "a")
    assert shape.points.tolist() == [[2, 1], [4, 3], [5, 6]]


@pytest.mark.parametrize("points", ["1.50,2;3,4", " 1.5, 2; 3, 4 ", "1.5,2;3,4;", "15e-1,2;3,4"])
def test_points_are_read_with_spaces_and_a_last_semicolon(read_text, points):
    shape = read_shape(read_text, f'<points label="a" points="{points}"/>')
    assert shape.points.tolist() == [[2, 1.5], [4, 3]]


def test_box_and_ellipse_keep_their_rotation(read_text):
    box = read_shape(
        read_text, '<box label="a" xtl="1" ytl="2" xbr="3.5" ybr="7" rotation="30.5"/>'
    )
    ellipse = read_shape(
        read_text, '<ellipse label="a" cx="4" cy="5" rx="3" ry="2" rotation="350"/>'
    )
    assert (box.points.tolist(), box.rotation) == ([[2, 1], [7, 3.5]], 30.5)
    assert (ellipse.points.tolist(), ellipse.rotation) == ([[5, 4], [2, 3]], 350)


def test_mask_has_its_box_and_runs(read_text):
    shape = read_shape(
        read_text, '<mask label="a" rle="0, 2, 3, 1" left="-1" top="4" width="3" height="2"/>'
    )
    assert shape.points.tolist() == [[4, -1], [6, 2]]
    assert shape.runs.tolist() == [0, 2, 3, 1]
    assert shape.runs.dtype == np.int64


def test_tags_of_a_shape_are_read(read_text):
    shape = read_shape(
        read_text,
        '<polyline label="a" source="semi-auto" occluded="1" z_order="-3" group_id="7" '
        'points="1,2;3,4"><attribute name="n &lt; 1">x\ny</attribute>'
        '<attribute name="e"></attribute></polyline>',
    )
    assert (shape.source, shape.occluded, shape.z_order, shape.group_id) == (
        "semi-auto",
        True,
        -3,
        7,
    )
    assert dict(shape.attributes) == {"n < 1": "x\ny", "e": ""}
    assert not shape.has_area


def test_kinds_without_area_are_kept(read_text):
    corners = " ".join(f'{name}="{number}"' for number, name in enumerate(cvat_writing.CUBOID))
    (image,) = read_text(
        image_of(
            f'<cuboid label="c" {corners}/><tag label="t"/><spline order="3"/>'
            '<skeleton label="s" points=""><points label="1" outside="0" points="1,2">'
            '<attribute name="joint">x</attribute></points>'
            '<points label="2" outside="1" points="3,4"/></skeleton>'
        )
    )
    assert [shape.kind for shape in image.shapes] == ["cuboid", "tag", "spline", "skeleton"]
    assert image.shapes[0].points.tolist() == [[2 * k + 1, 2 * k] for k in range(8)]
    assert image.shapes[1].points.shape == (0, 2)
    assert image.shapes[3].points.tolist() == [[2, 1]]
    assert not image.shapes[3].attributes


def test_project_images_have_subset_and_task_and_odd_names(read_text):
    meta = (
        "<project><id>1</id><tasks><task><id>7</id></task><task><id>8</id></task></tasks>"
        "<labels><label><name>a &amp; b</name></label><label><name>s</name></label>"
        "<label><name>1</name><parent>s</parent></label></labels></project>"
    )
    body = '<image id="3" name="../ü [1].png" width="5" height="4" subset="Train" task_id="8"/>'
    (image,) = read_text(document(body, meta))
    assert (image.name, image.width, image.height) == ("../ü [1].png", 5, 4)
    assert (image.subset, image.task_id, image.shapes) == ("Train", "8", ())
    assert image.classes == ("a & b", "s")


def random_shape(rng, kind):
    points = rng.normal(size=(rng.integers(1, 9), 2)) * 50
    runs, rotation = None, 0.0
    if kind in ("box", "ellipse"):
        points, rotation = np.abs(rng.normal(size=(2, 2))), rng.uniform(0, 360)
    if kind == "mask":
        corner = rng.integers(-5, 20, 2)
        points, runs = (
            np.stack([corner, corner + np.array([2, 3])]).astype(float),
            np.array([0, 4, 2]),
        )
    if kind == "cuboid":
        points = rng.normal(size=(8, 2))
    if kind == "tag":
        points = np.zeros((0, 2))
    return Shape(
        kind,
        rng.choice(["a", 'b "<&>\n', "ü"]),
        points,
        rotation=rotation,
        runs=runs,
        z_order=int(rng.integers(-3, 3)),
        occluded=bool(rng.integers(2)),
        group_id=int(rng.integers(3)),
        attributes={"k": " v\r\n<", "ü": ""} if rng.integers(2) else {},
        source=rng.choice(["manual", "auto"]),
        track_id=int(rng.integers(3)) if rng.integers(2) else None,
    )


@pytest.mark.parametrize("seed", range(5))
def test_round_trip_gives_equal_images(tmp_path, seed):
    rng = np.random.default_rng(seed)
    kinds = sorted(cvat.KINDS | {"spline"})
    images = [
        LabelledImage(
            f"lot {number}/ü&.png",
            40,
            30,
            tuple(random_shape(rng, kind) for kind in rng.permutation(kinds)),
            ("a", 'b "<&>\n', "ü"),
            subset="" if number else "Train",
            task_id="" if number else "3",
            frame=number or None,
        )
        for number in range(3)
    ]
    path = tmp_path / "out.xml"
    assert cvat_writing.write(path, iter(images)) == {}
    assert cvat.read(path) == images


def test_written_coordinates_are_exact_to_the_last_bit(tmp_path):
    points = np.array([[0.1 + 0.2, 1e-17], [1 / 3, 1e9 + 1 / 7], [-0.0, 2.0]])
    cvat_writing.write(
        tmp_path / "o.xml", [LabelledImage("a", 9, 9, (Shape("polygon", "a", points),))]
    )
    ((shape,),) = [image.shapes for image in cvat.read(tmp_path / "o.xml")]
    assert shape.points.tobytes() == points.tobytes()


def test_classes_are_declared_then_used_or_given(tmp_path):
    shape = Shape("tag", "used", np.zeros((0, 2)))
    image = LabelledImage("a", 9, 9, (shape,), ("declared",))
    cvat_writing.write(tmp_path / "o.xml", [image])
    assert cvat.read(tmp_path / "o.xml")[0].classes == ("declared", "used")
    cvat_writing.write(tmp_path / "o.xml", [image], classes=["given"])
    assert cvat.read(tmp_path / "o.xml")[0].classes == ("given",)


def test_owner_and_assignee_never_reach_an_output(tmp_path, read_text):
    meta = "<task><owner><username>ada</username><email>ada@lab.org</email></owner></task>"
    images = read_text(document('<image name="a" width="1" height="1"/>', meta))
    cvat_writing.write(tmp_path / "o.xml", images)
    text = (tmp_path / "o.xml").read_text()
    assert "ada" not in text
    assert "owner" not in text


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "o.xml"
    path.write_text("old")
    with pytest.raises(ValueError, match=r"without control characters.*'\\x00'.*Rename"):
        cvat_writing.write(path, [LabelledImage("a\x00.png", 9, 9)])
    with pytest.raises(ValueError, match=r"kind must be an XML name.*'a b'"):
        cvat_writing.write(path, [LabelledImage("a", 9, 9, (Shape("a b", "", np.zeros((0, 2))),))])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


BAD_SHAPES = {
    '<polygon label="a" points="1,2;x,4"/>': r"points must be numbers.*'1,2;x,4'",
    '<polygon label="a" points="1,2;3"/>': "points must be numbers",
    '<polygon label="a" points="1;2,3,4"/>': "points must be numbers",
    '<polygon label="a" points=""/>': "points must be numbers.*0 characters",
    '<polygon label="a" points="1,2;nan,4"/>': "must be finite.*Received: nan",
    '<polygon label="a" points="1,2;3,-inf"/>': "must be finite.*Received: -inf",
    '<polygon label="a" points="1,2;3,1e300"/>': "must be finite and below 1e\\+12",
    '<polygon label="a"/>': r"attribute 'points' is missing. Received: \['label'\]",
    '<polygon points="1,2;3,4"/>': "attribute 'label' is missing",
    '<polygon label="a" points="1,2" z_order="top"/>': "z_order must be a whole number.*'top'",
    '<polygon label="a" points="1,2" occluded="yes"/>': "occluded must be 0 or 1.*'yes'",
    '<box label="a" xtl="1" ytl="2" xbr="3"/>': "attribute 'ybr' is missing",
    '<box label="a" xtl="1" ytl="2" xbr="3" ybr="four"/>': "ybr must be a number.*'four'",
    '<box label="a" xtl="1" ytl="2" xbr="3" ybr="NaN"/>': "must be finite",
    '<box label="a" xtl="1" ytl="2" xbr="3" ybr="4" rotation="inf"/>': "must be finite",
    '<ellipse label="a" cx="1" cy="2" rx="-3" ry="1"/>': "semi-axes must not be negative.*rx=-3",
    '<mask label="a" rle="1, 2" left="0" top="0" width="2" height="2"/>': (
        "must sum to height x width.*sum=3, height=2, width=2"
    ),
    '<mask label="a" rle="-1, 5" left="0" top="0" width="2" height="2"/>': "not be negative",
    '<mask label="a" rle="1, b" left="0" top="0" width="2" height="2"/>': "rle must be whole",
    '<mask label="a" rle="" left="0" top="0" width="2" height="2"/>': "rle must be whole",
    '<mask label="a" rle="1" left="0.5" top="0" width="1" height="1"/>': "left must be a whole",
    '<mask label="a" rle="0" left="0" top="0" width="0" height="1"/>': "at least 1 pixel wide",
    '<mask label="a" rle="4000000000" left="0" top="0" width="40000" height="100000"/>': (
        "must not exceed 4 times its image. Received: mask 40000 x 100000, image 8 x 9"
    ),
    '<mask label="a" rle="9223372036854775807, 9223372036854775807, 6" left="0" top="0" '
    'width="2" height="2"/>': "must sum to height x width",
    '<tag label="a"><attribute>v</attribute></tag>': "attribute 'name' is missing",
}


@pytest.mark.parametrize("element", BAD_SHAPES)
def test_malformed_shape_names_file_line_image_and_shape(read_text, element):
    kind = re.match(r"<(\w+)", element)[1]
    where = rf"annotations.xml, line 2, image 'a.png', shape 2 \({kind}\): "
    with pytest.raises(ValueError, match=f"{where}.*{BAD_SHAPES[element]}"):
        read_text(image_of(f"{TRIANGLE}\n{element}"))


@pytest.mark.parametrize("element", BAD_SHAPES)
def test_malformed_shape_is_left_out_alone_where_there_is_a_list_for_it(tmp_path, element):
    path, said = tmp_path / "annotations.xml", []
    path.write_text(image_of(f"{TRIANGLE}\n{element}\n{TRIANGLE}"))
    (image,) = cvat.read(path, said=said)
    assert [shape.kind for shape in image.shapes] == ["polygon", "polygon"]
    (finding,) = said
    assert (finding.level, finding.code, finding.image) == ("error", "entry-left-out", "a.png")
    assert re.search(
        rf"annotations.xml, line 2.*shape 2 .*left out: .*{BAD_SHAPES[element]}", finding.text
    )


BAD_IMAGES = {
    'name="a" width="0" height="3"': "must be at least 1.*width=0, height=3",
    'name="a" width="3" height="-3"': "must be at least 1",
    'name="a" width="65536" height="65536"': "at most 2147483648 pixels.*width=65536",
    'name="a" width="8.5" height="3"': "width must be a whole number.*'8.5'",
    'name="a" height="3"': "attribute 'width' is missing",
    'width="3" height="3"': "attribute 'name' is missing",
}


@pytest.mark.parametrize("attributes", BAD_IMAGES)
def test_malformed_image_names_file_and_image(read_text, attributes):
    name = "'a'" if "name" in attributes else "''"
    with pytest.raises(
        ValueError, match=f"annotations.xml, line 1, image {name}: .*{BAD_IMAGES[attributes]}"
    ):
        read_text(image_of("", attributes=attributes))


@pytest.mark.parametrize("attributes", BAD_IMAGES)
def test_malformed_image_is_left_out_with_its_shapes(tmp_path, attributes):
    path, said = tmp_path / "annotations.xml", []
    good, bad = image_of(TRIANGLE), image_of(TRIANGLE, attributes=attributes)
    path.write_text(bad.replace("</annotations>", good[good.index("<image") :]))
    (image,) = cvat.read(path, said=said)
    assert (image.name, len(image.shapes)) == ("a.png", 1)
    assert [one.code for one in said] == ["entry-left-out"]


def test_malformed_tracks_and_keyframes_are_left_out(tmp_path):
    mask = '<mask frame="{}" outside="0" rle="0, {}" left="0" top="0" width="2" height="2"/>'
    keyframes = "".join(map(mask.format, (0, 1, 2), (4, 5, 4)))
    joints = f'<track id="3" label="a">{keyframes}<box frame="x"/></track>'
    path, said = tmp_path / "annotations.xml", []
    path.write_text(video(f'<track id="x" label="a">{box_at(0, 0)}</track>{joints}'))
    found = cvat.read(path, said=said)
    assert {shape.kind for image in found for shape in image.shapes} == {"mask"}
    words = ("id must be a whole number", "shape 4 (box) was left out", "frame 1, shape (mask) was")
    for finding, text in zip(said, words, strict=True):
        assert text in finding.text


def test_truncated_xml_names_the_image_it_ends_in(read_text):
    text = image_of(TRIANGLE)
    with pytest.raises(ValueError, match=r"annotations.xml, image 'a.png'.*complete XML"):
        read_text(text[: text.index("</image>") - 3])
    with pytest.raises(ValueError, match=r"complete XML.*no element found"):
        read_text("")


@pytest.mark.parametrize("size", range(0, 150, 7))
def test_every_truncation_is_refused(read_text, size):
    with pytest.raises(ValueError, match="complete XML"):
        read_text(image_of(TRIANGLE)[:size])


def test_wrong_root_is_refused(read_text):
    with pytest.raises(
        ValueError, match=r"outermost element.*<annotations>. Received: <annotation>"
    ):
        read_text("<annotation><object/></annotation>")


def test_unknown_encoding_is_refused(read_text):
    with pytest.raises(ValueError, match=r"annotations.xml.*encoding"):
        read_text('<?xml version="1.0" encoding="klingon"?><annotations/>')


def test_entity_bomb_and_external_entity_are_refused(read_text):
    bomb = '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;">]><annotations>&y;</annotations>'
    with pytest.raises(ValueError, match="must not have a document type or entities"):
        read_text(bomb)
    with pytest.raises(ValueError, match="must not have a document type or entities"):
        read_text('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotations/>')


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent.xml"):
        cvat.read(tmp_path / "absent.xml")


def video(tracks, *, range_="<start_frame>0</start_frame><stop_frame>9</stop_frame>", size=True):
    original = "<original_size><width>100</width><height>80</height></original_size>"
    meta = f"<task><id>5</id>{range_}{original if size else ''}</task><source>v.mp4</source>"
    return document(tracks, meta)


def box_at(frame, x, *, outside=0, tags=""):
    return (
        f'<box frame="{frame}" outside="{outside}" occluded="0" keyframe="1" '
        f'xtl="{x}" ytl="0" xbr="{x + 10}" ybr="10" {tags}></box>'
    )


def lefts(images):
    return {image.frame: image.shapes[0].points[0, 1] for image in images}


def test_track_is_linear_between_keyframes_and_runs_on_to_the_end(read_text):
    images = read_text(
        video(f'<track id="4" label="a" group_id="2">{box_at(2, 0)}{box_at(6, 8)}</track>')
    )
    assert lefts(images) == {2: 0, 3: 2, 4: 4, 5: 6, 6: 8, 7: 8, 8: 8, 9: 8}
    assert images[1].name == "frame_000003"
    assert (images[1].width, images[1].height) == (100, 80)
    shape = images[1].shapes[0]
    assert (shape.label, shape.track_id, shape.group_id) == ("a", 4, 2)


def test_outside_ends_a_track_until_its_next_keyframe(read_text):
    images = read_text(
        video(
            f'<track id="0" label="a">{box_at(0, 0)}{box_at(2, 4, outside=1)}'
            f"{box_at(8, 9)}{box_at(9, 9, outside=1)}</track>"
        )
    )
    assert lefts(images) == {0: 0, 1: 2, 8: 9}


def test_frame_filter_step_and_range_are_respected(read_text):
    range_ = (
        "<start_frame>10</start_frame><stop_frame>19</stop_frame>"
        "<frame_filter>step=3</frame_filter>"
    )
    track = f'<track id="0" label="a">{box_at(10, 0)}{box_at(16, 6)}</track>'
    assert lefts(read_text(video(track, range_=range_))) == {10: 0, 13: 3, 16: 6, 19: 6}


def test_without_a_range_the_video_ends_at_its_last_keyframe(read_text):
    track = f'<track id="0" label="a">{box_at(3, 0)}{box_at(5, 2)}</track>'
    assert list(lefts(read_text(video(track, range_="")))) == [3, 4, 5]


def test_tags_hold_from_keyframe_to_keyframe_and_tracks_keep_their_order(read_text):
    first = box_at(0, 0, tags='z_order="2"').replace(
        "></box>", '><attribute name="m">x</attribute></box>'
    )
    images = read_text(
        video(
            f'<track id="9" label="b"><attribute name="n">1</attribute>{first}'
            f'{box_at(4, 1)}</track><track id="1" label="a">{box_at(1, 5)}</track>'
        )
    )
    assert [shape.label for shape in images[2].shapes] == ["b", "a"]
    assert images[3].shapes[0].z_order == 2
    assert dict(images[3].shapes[0].attributes) == {"n": "1", "m": "x"}
    assert dict(images[4].shapes[0].attributes) == {"n": "1"}


def test_mask_of_a_track_holds_until_the_next_keyframe(read_text):
    mask = '<mask frame="{}" outside="{}" rle="0, 4" left="{}" top="0" width="2" height="2"/>'
    track = f'<track id="0" label="a">{mask.format(0, 0, 3)}{mask.format(4, 1, 7)}</track>'
    assert lefts(read_text(video(track))) == {0: 3, 1: 3, 2: 3, 3: 3}


def test_project_videos_are_told_apart_by_task(read_text):
    task = (
        "<task><id>{}</id><subset>Val</subset><start_frame>0</start_frame>"
        "<stop_frame>{}</stop_frame><original_size><width>{}</width><height>9</height>"
        "</original_size></task>"
    )
    tasks = task.format(7, 1, 30) + task.format(8, 0, 40)
    meta = f"<project><id>1</id><tasks>{tasks}</tasks></project>"
    tracks = "".join(
        f'<track id="0" label="a" task_id="{number}">{box_at(0, 0)}</track>' for number in (7, 8)
    )
    images = read_text(document(tracks, meta))
    assert [(i.task_id, i.frame, i.width) for i in images] == [
        ("7", 0, 30),
        ("7", 1, 30),
        ("8", 0, 40),
    ]
    assert images[0].subset == "Val"
    with pytest.raises(ValueError, match=r"name a task of <meta>.*task_id='9', tasks \['7', '8'\]"):
        read_text(document(tracks.replace('task_id="8"', 'task_id="9"'), meta))


def test_job_meta_gives_the_frames(read_text):
    text = video(f'<track id="0" label="a">{box_at(0, 0)}</track>')
    assert len(read_text(text.replace("task>", "job>"))) == 10


BAD_VIDEOS = {
    "size": ("", False, "must state <original_size>.*width=None"),
    "step": ("<frame_filter>step=0</frame_filter>", True, "step must be at least 1.*step=0"),
    "word": ("<frame_filter>step=x</frame_filter>", True, "frame_filter step must be a whole"),
    "long": ("<stop_frame>1000000000</stop_frame>", True, "at most 10000000 frames.*1000000000"),
}


@pytest.mark.parametrize("case", BAD_VIDEOS)
def test_malformed_video_meta_is_refused(read_text, case):
    range_, size, message = BAD_VIDEOS[case]
    track = f'<track id="0" label="a">{box_at(0, 0)}</track>'
    with pytest.raises(ValueError, match=f"annotations.xml.*{message}"):
        read_text(video(track, range_=range_, size=size))


def test_malformed_keyframe_names_its_track(read_text):
    with pytest.raises(
        ValueError, match=r"track 3 of label 'a', shape 1 \(box\): .*'frame' is mis"
    ):
        read_text(video(f'<track id="3" label="a">{box_at(0, 0).replace("frame=", "f=")}</track>'))
    mask = '<mask frame="0" outside="0" rle="0, 5" left="0" top="0" width="2" height="2"/>'
    with pytest.raises(ValueError, match=r"track 3 of label 'a', frame 0, shape \(mask\): .*sum=5"):
        read_text(video(f'<track id="3" label="a">{mask}</track>'))


def test_absurd_video_size_is_refused(read_text):
    track = f'<track id="0" label="a">{box_at(0, 0)}</track>'
    with pytest.raises(ValueError, match=r"<original_size>: .*at most 2147483648 pixels"):
        read_text(video(track).replace("<width>100<", "<width>2000000000<"))


def write_large(path, images, shapes):
    polygon = '<polygon label="a" occluded="0" points="{}"/>\n'.format(
        ";".join(f"{k}.25,{k}.75" for k in range(100, 150))
    )
    with path.open("w") as out:
        out.write("<annotations>")
        for number in range(images):
            out.write(
                f'<image name="{number}" width="800" height="600">\n{polygon * shapes}</image>'
            )
        out.write("</annotations>")


def test_iterate_holds_one_image_at_a_time(tmp_path):
    path = tmp_path / "large.xml"
    write_large(path, images=250, shapes=100)
    assert path.stat().st_size > 15e6
    tracemalloc.start()
    try:
        count = sum(len(image.shapes) for image in cvat.iterate(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 25_000
    assert peak < 2e6


def test_module_needs_no_network_library():
    code = (
        "import sys, temzoo.labels.cvat; heavy = ('tensorflow', 'imgaug', 'pycocotools', 'PIL'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.shared
def test_real_export_of_images(shared):
    first, second = cvat.read(shared / "data/cvat/images.xml")
    assert first.classes == ("label1", "label2", "skeleton")
    assert [shape.kind for shape in first.shapes] == ["box", "polyline", "skeleton"]
    assert [shape.kind for shape in second.shapes] == ["polygon", "points", "skeleton"]
    box = first.shapes[0]
    assert (box.points.tolist(), box.occluded, box.z_order) == ([[2, 0], [4, 4]], True, 1)
    assert dict(box.attributes) == {"a1": "true", "a2": "v3", "a3": "0003", "a4": "2.4"}


@pytest.mark.shared
def test_real_export_of_a_video(shared, tmp_path):
    images = cvat.read(shared / "data/cvat/video.xml")
    assert [image.name for image in images] == [f"frame_0000{k}" for k in (10, 13, 16, 19)]
    kinds = [[shape.kind for shape in image.shapes] for image in images]
    assert kinds == [["box", "points", "skeleton"], ["polyline", "skeleton"]] + [["skeleton"]] * 2
    assert {(image.width, image.height) for image in images} == {(25, 20)}
    cvat_writing.write(tmp_path / "o.xml", images)
    assert cvat.read(tmp_path / "o.xml") == images


@pytest.mark.shared
def test_real_particles_round_trip(shared, tmp_path):
    images = cvat.read(shared / "data/emps/annotations.xml")
    assert len(images) == 366
    assert sum(len(image.shapes) for image in images) == 9020
    assert sum(len(shape.points) for image in images for shape in image.shapes) == 540862 + 9020
    cvat_writing.write(tmp_path / "o.xml", images)
    assert cvat.read(tmp_path / "o.xml") == images
    assert replace(images[0], name="b") != images[0]
