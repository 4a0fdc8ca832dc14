import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from temzoo.pages.html import with_code
from temzoo.pages.plates import Outlined, Plate, jpeg, plate_html


def decoded(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def test_a_picture_is_stretched_and_keeps_its_shape():
    ramp = np.tile(np.linspace(1000, 2000, 300), (200, 1)).astype(np.uint16)
    picture = decoded(jpeg(ramp, most_bytes=10**6))
    assert picture.shape == (200, 300)
    assert picture[:, :5].max() < 20
    assert picture[:, -5:].min() > 235


def test_a_large_picture_is_shrunk_to_its_longest_side():
    assert decoded(jpeg(np.zeros((100, 4000), np.uint8), most_bytes=10**6)).shape == (40, 1600)


def test_colours_stay_in_their_order():
    red = np.zeros((64, 64, 3), np.uint8)
    red[:, :32, 0] = 255
    picture = decoded(jpeg(red, most_bytes=10**6))
    blue, _, first = picture[32, 8].tolist()  # OpenCV gives B, G, R
    assert first > 200 > 50 > blue


def test_noise_is_compressed_until_it_fits():
    noise = np.random.default_rng(0).integers(0, 255, (1600, 1600), np.uint8)
    data = jpeg(noise, most_bytes=200_000)
    assert len(data) <= 200_000
    assert min(decoded(data).shape) >= 400


def test_a_picture_is_not_shrunk_beyond_use():
    noise = np.random.default_rng(0).integers(0, 255, (600, 600), np.uint8)
    assert min(decoded(jpeg(noise, most_bytes=10)).shape) >= 400


def bar_of(html: str) -> tuple[float, str]:
    share, name = re.search(r'<i style="width:([\d.]+)%"></i><span>([^<]+)</span>', html).groups()
    return float(share), name


@pytest.mark.parametrize(
    ("width", "scale", "share", "name"),
    [
        (1000, 0.5, 20.0, "100 nm"),
        (777, 0.62, 100 * 100 / (777 * 0.62), "100 nm"),
        (2000, 10, 25.0, "5 µm"),
        (500, 0.004, 25.0, "0.5 nm"),
    ],
)
def test_the_scale_bar_is_as_long_as_it_says(width, scale, share, name):
    html = plate_html(Plate(1, "a", 400, width, (), nm_per_pixel=(scale, scale)))
    found, written = bar_of(html)
    assert (found, written) == (pytest.approx(share, abs=1e-3), name)


def test_without_calibration_there_is_no_scale_bar():
    assert 'class="bar"' not in plate_html(Plate(1, "a", 400, 600, ()))


def test_pixels_that_are_not_square_are_drawn_as_they_are():
    one = Outlined(1, 1, 50.0, 20.0, "M0 0l1 0l0 1z")
    html = plate_html(Plate(1, "a", 100, 100, (one,), nm_per_pixel=(2.0, 1.0)))
    assert 'viewBox="0 0 100 200.00"' in html
    assert 'transform="scale(1 2)"' in html
    assert '<text x="20.0" y="100.0">1</text>' in html
    assert bar_of(html) == (pytest.approx(20.0), "20 nm")  # along columns


def test_classes_have_colours_of_their_own_and_small_objects_lie_on_top():
    drawn = [Outlined(1, 1, 5, 5, "M0 0l1 0z"), Outlined(2, 3, 5, 5, "M0 0l1 0l2 2l3 3z")]
    html = plate_html(Plate(1, "a", 10, 10, (*drawn, Outlined(3, 1, 5, 5, "M0 0l1 0l2 2z"))))
    first, third = html.index('<g class="c1">'), html.index('<g class="c3">')
    assert first < html.index('data-p="3"') < html.index('data-p="1"') < third
    assert third < html.index('data-p="2"')


def test_a_name_from_a_file_is_text():
    html = plate_html(Plate(1, '"><b>x', 10, 10, (), missing="<i>gone"))
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append(tag)
    parser.feed(html)
    assert "b" not in tags
    assert tags.count("i") == 0


def test_commands_in_messages_are_code_and_names_stay_text():
    told = with_code("`<b>` is none; type `temzoo report a`.")
    assert told == "<code>&lt;b&gt;</code> is none; type <code>temzoo report a</code>."
