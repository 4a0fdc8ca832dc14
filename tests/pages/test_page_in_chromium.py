"""The report as a reader uses it, in headless Chromium, driven by its DevTools pipe."""

import csv
import io
import re

import cv2
import numpy as np
import pytest
from pages_of_tests import HOSTILE, save_disks

from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.check import check
from temzoo.pages import write_report
from temzoo.pages.label_check import to_html
from temzoo.workflows import lecture_dcnn
from temzoo.workflows.lecture_trials import Learnt, trials

GREY = np.full((60, 80), 120, np.uint8)
POINT = np.array([[20.0, 20.0]])
PAIR = ((0, -1), (1, 1))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    names = ["a.png", f"b {HOSTILE}.png", "c.png"]
    more = {"nm_per_pixel": (0.5, 0.5), "class_names": ("=1+1",)}
    save_disks(folder / "p", folder / "i", names, **more)
    return write_report(folder / "p", limit=2, title=HOSTILE)


@pytest.fixture
def page(tab, path):
    tab.complaints.clear()
    tab.requests.clear()
    tab.open(path)
    yield tab
    assert tab.complaints == []
    fetched = [url for url in tab.requests if not url.startswith(("file:", "data:", "blob:"))]
    assert fetched == []


def box(page) -> list[float]:
    text = page.run("document.querySelector('.plate.current svg.view').getAttribute('viewBox')")
    return [float(v) for v in text.split()]


def column(page, number: int) -> list[float]:
    script = f"[...document.querySelectorAll('.catalogue tbody td:nth-child({number})')]"
    return [float(v) for v in page.run(f"{script}.map(e => e.textContent)")]


def paint(page, selector: str, name: str) -> str:
    return page.run(f"getComputedStyle(document.querySelector({selector!r}))[{name!r}]")


def test_layers_are_toggled(page):
    first = ".plate.current .objects path"
    assert paint(page, first, "fillOpacity") == "0"
    assert paint(page, ".plate.current .numbers", "display") == "none"
    assert paint(page, first, "stroke") != "none"
    for layer in ("fill", "numbers-on", "outline"):
        page.click(*page.middle(f"[data-layer={layer}]"))
    assert float(paint(page, first, "fillOpacity")) > 0.2
    assert paint(page, ".plate.current .numbers", "display") != "none"
    assert paint(page, first, "stroke") == "none"
    pressed = "[...document.querySelectorAll('[data-layer][aria-pressed=true]')]"
    assert page.run(f"{pressed}.map(e => e.dataset.layer)") == ["fill", "numbers-on", "bar-on"]


def test_a_line_and_its_dark_casing_are_as_thin_when_zoomed(page, tmp_path):
    """The casing is a copy of the outlines: a style that hangs on their ancestors misses it."""
    page.run("document.querySelector('.catalogue tbody tr:nth-child(6)').focus()")
    page.press("Enter", 13, "\r")  # the particle fills a quarter of the picture
    page.press("Escape", 27)
    page.run("document.querySelector('.glow').remove()")
    _, y = page.middle(".plate.current .stage")
    page.screenshot(tmp_path / "zoomed.png")
    row = cv2.imread(str(tmp_path / "zoomed.png"))[round(y)].astype(int)
    left, right = page.run(
        "(b => [b.left, b.right])(document.querySelector('.stage').getBoundingClientRect())"
    )
    shades = row[round(left) + 1 : round(right) - 1].mean(axis=1)
    # Black disks on white, and four lines: what is neither is a line or its casing.
    assert 8 <= ((shades > 12) & (shades < 235)).sum() <= 4 * 8


def test_columns_are_sorted_both_ways(page):
    button = ".catalogue th:nth-child(2) button"
    before = column(page, 2)
    page.click(*page.middle(button))
    assert column(page, 2) == sorted(before, reverse=True)
    assert page.run("document.querySelector('.catalogue th:nth-child(2)').ariaSort") == "descending"
    page.click(*page.middle(button))
    assert column(page, 2) == sorted(before)


def test_a_micrograph_has_no_columns_in_the_unit_of_others(tab, tmp_path):
    save_disks(tmp_path / "p", tmp_path / "i", ["a.png"], nm_per_pixel=(0.5, 0.5))
    save_disks(tmp_path / "p", tmp_path / "i", ["b.png"])
    tab.open(write_report(tmp_path / "p"))
    cells = "[...document.querySelectorAll('.catalogue {}')].map(e => e.textContent)"

    def units():
        heads = tab.run(cells.format("th"))
        return [unit for unit in ("nm", "px") if f"Diameter{unit}" in heads]

    assert units() == ["nm"]
    sizes = tab.run(cells.format("td:nth-child(3)"))  # with as many digits where they are whole
    assert all(re.fullmatch(r"\d\.\d\d|\d\d\.\d", size) for size in sizes)
    tab.click(*tab.middle("#next"))
    assert units() == ["px"]
    tab.run(
        "Object.assign(document.querySelector('#which'), {value: 'all'})"
        ".dispatchEvent(new Event('change'))"
    )
    assert units() == ["nm", "px"]


def test_the_summary_is_sorted_and_its_total_stays_last(page):
    rows = "[...document.querySelectorAll('#summary-by-micrograph tbody tr')]"
    page.click(*page.middle("#summary-by-micrograph th:nth-child(3) button"))
    up = page.run(f"{rows}.map(tr => Number(tr.children[2].textContent))")
    page.click(*page.middle("#summary-by-micrograph th:nth-child(3) button"))
    down = page.run(f"{rows}.map(tr => Number(tr.children[2].textContent))")
    assert up[:-1] == sorted(up[:-1])
    assert down[:-1] == sorted(down[:-1], reverse=True)
    assert page.run(f"{rows}.at(-1).className") == "total"


def test_a_row_lights_its_particle_and_a_particle_its_row(page):
    page.mouse("mouseMoved", *page.middle(".catalogue tbody tr:nth-child(6)"))
    lit = "document.querySelector('.plate.current .glow').getAttribute('d')"
    own = "document.querySelector('.plate.current [data-p=\"6\"]').getAttribute('d')"
    assert page.run(f"{lit} === {own}")
    page.click(*page.middle(".plate.current [data-p='7']"))
    chosen = "document.querySelector('.catalogue tr[aria-selected=true]')"
    assert page.run(f"{chosen}.firstChild.textContent") == "7"


def test_wheel_buttons_and_keys_zoom_and_move(page):
    whole = box(page)
    x, y = page.middle(".plate.current .stage")
    page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-200)
    assert box(page) == whole  # the page scrolls until the micrograph is chosen
    page.click(*page.middle(".plate.current .stage"))
    page.press("+", 187, "+")
    closer = box(page)
    assert closer[2] == pytest.approx(whole[2] / 1.5)
    page.press("ArrowRight", 39)
    assert box(page)[0] > closer[0]
    page.mouse("mouseWheel", *page.middle(".plate.current .stage"), deltaX=0, deltaY=-200)
    assert box(page)[2] < closer[2]
    page.press("0", 48, "0")
    assert box(page) == whole
    page.click(*page.middle("#zoom-in"))
    assert box(page)[2] == pytest.approx(whole[2] / 1.5)
    page.click(*page.middle("#zoom-all"))
    assert box(page) == whole


def test_two_fingers_zoom_the_micrograph_and_not_the_page(tab, path):
    tab.call("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})
    tab.open(path, 390, 844)
    x, y = tab.middle(".plate.current .stage")
    whole = box(tab)

    def touch(kind: str, *reaches: float) -> None:
        points = [{"x": x + sign * r, "y": y, "id": k} for r in reaches for k, sign in PAIR]
        tab.call("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 20)
    for reach in range(25, 85, 5):
        touch("touchMove", reach)
    touch("touchEnd")
    closer = box(tab)
    assert closer[2] == pytest.approx(whole[2] / 4, rel=0.1)
    # What was between the fingers stays between them.
    assert closer[0] + closer[2] / 2 == pytest.approx(whole[2] / 2, abs=whole[2] / 20)
    assert tab.run("visualViewport.scale") == 1
    tab.call("Emulation.setTouchEmulationEnabled", {"enabled": False})


def test_the_scale_bar_follows_the_zoom(page):
    def drawn():
        share = page.run("document.querySelector('.plate.current .bar i').style.width")
        name = page.run("document.querySelector('.plate.current .bar span').textContent")
        value, unit = name.split()
        assert unit == "nm"
        return float(share.rstrip("%")) / 100 * box(page)[2] * 0.5, float(value)

    for _ in range(4):
        length, written = drawn()
        assert length == pytest.approx(written, rel=1e-3)
        page.click(*page.middle("#zoom-in"))


def test_dragging_moves_and_chooses_nothing(page):
    page.click(*page.middle("#zoom-in"))
    before = box(page)
    x, y = page.middle(".plate.current .stage")
    page.mouse("mousePressed", x, y, button="left", clickCount=1)
    for step in range(1, 6):
        page.mouse("mouseMoved", x - 12 * step, y - 6 * step, button="left", buttons=1)
    page.mouse("mouseReleased", x - 60, y - 30, button="left", clickCount=1)
    after = box(page)
    assert after[0] > before[0]
    assert after[1] > before[1]
    assert page.run("document.querySelectorAll('tr[aria-selected=true]').length") == 0


def test_rows_are_walked_by_arrows_and_enter_zooms(page):
    page.run("document.querySelector('.catalogue tbody tr').focus()")
    page.press("ArrowDown", 40)
    page.press("ArrowDown", 40)
    assert page.run("document.activeElement.firstChild.textContent") == "3"
    assert page.run("document.querySelector('tr[aria-selected=true] td').textContent") == "3"
    whole = box(page)
    page.press("Enter", 13, "\r")
    assert box(page)[2] < whole[2]


def test_another_micrograph_has_its_own_rows(page):
    count = "document.querySelectorAll('.catalogue tbody tr').length"
    first = column(page, 2)
    page.click(*page.middle(".strip [data-plate='2']"))
    assert page.run("document.querySelector('.plate.current').id") == "plate-2"
    assert page.run("document.querySelector('.plate.current h3').textContent") == "c.png"
    assert column(page, 2) != first
    page.run(
        "(() => { const e = document.querySelector('#which'); e.value = 'all';"
        "e.dispatchEvent(new Event('change')); })()"
    )
    assert page.run(count) == page.run("JSON.parse(particles.textContent).rows.length")
    page.click(*page.middle("#summary-by-micrograph .link[data-plate='1']"))
    assert page.run("document.querySelector('.plate.current').id") == "plate-1"


def test_the_csv_holds_every_row_also_of_hostile_names(page):
    text = page.run(
        "new Promise(done => { URL.createObjectURL = blob => {"
        "  blob.text().then(done); return 'blob:none'; };"
        "  HTMLAnchorElement.prototype.click = () => {};"
        "  document.querySelector('#csv').click(); })"
    )
    rows = list(csv.DictReader(io.StringIO(text.lstrip("\ufeff"))))
    assert {row["class"] for row in rows} == {"'=1+1"}  # no formula for a spreadsheet
    assert len(rows) == page.run("JSON.parse(particles.textContent).rows.length")
    assert {row["image"] for row in rows} == {"a.png", f"b {HOSTILE}.png", "c.png"}
    assert {row["touches_border"] for row in rows} == {"True", "False"}
    assert all(float(row["area_nm2"]) > 0 for row in rows)


def test_light_and_dark(tab, path):
    def paper():
        return tab.run("getComputedStyle(document.body).backgroundColor")

    tab.open(path, dark=True)
    dark = paper()
    tab.click(*tab.middle("#theme"))
    light = paper()
    assert dark != light
    tab.open(path, dark=False)
    assert paper() == light
    tab.click(*tab.middle("#theme"))
    assert paper() == dark


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Pages beside that of predictions: of a check of labels, and the lecture's."""
    folder = tmp_path_factory.mktemp("others")
    cv2.imwrite(str(folder / "a_name_without_any_space_that_is_far_too_long_for_a_phone.png"), GREY)
    name = "a_name_without_any_space_that_is_far_too_long_for_a_phone.png"
    shapes = (Shape("box", "p", np.array([[5.0, 5.0], [5.0, 9.0]])), Shape("points", "p", POINT))
    images = [LabelledImage(name, 80, 60, shapes), LabelledImage("b.png", 80, 60)]
    found = check(images, image_folder=folder)
    to_html(found, images, folder / "check.html", image_folder=folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lecture_dcnn, "DRAWN", 12)
        patch.setattr(lecture_dcnn, "_learnt", lambda *_: untrained())
        lecture_dcnn.lecture_dcnn(folder, seeds=1, steps=1)
    return folder


def untrained():
    return [
        Learnt(trial, 10 + k, np.ones(1), np.full((1, 6), 0.5), np.ones((5, 5, 24)))
        for k, trial in enumerate(trials())
    ]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 390, 768, 1280])
@pytest.mark.parametrize("page", ["predictions", "check.html", "lecture.html"])
def test_no_width_makes_a_page_scroll_sideways(tab, path, others, page, width, dark):
    tab.open(path if page == "predictions" else others / page, width, 800, dark=dark)
    assert tab.run("document.documentElement.scrollWidth") <= width
    assert tab.run("getComputedStyle(document.body).color") != tab.run(
        "getComputedStyle(document.body).backgroundColor"
    )


def test_the_last_column_of_a_micrograph_is_seen_beside_it(tab, tmp_path):
    scores = {"scores": (0.987,) * 16}
    save_disks(tmp_path / "p", tmp_path / "i", ["a.png"], nm_per_pixel=(0.5, 0.5), **scores)
    tab.open(write_report(tmp_path / "p"), 1280, 800)
    heads = tab.run("[...document.querySelectorAll('.catalogue th')].map(e => e.innerText)")
    assert [heads[-2].strip(), heads[-1].strip()] == ["Score", "Border"]
    over = "(e => e.scrollWidth - e.clientWidth)(document.querySelector('.catalogue'))"
    assert tab.run(over) <= 0


@pytest.mark.parametrize(("width", "least"), [(390, 0.6), (800, 0.6), (1280, 0.4)])
def test_the_text_in_pictures_stays_large_enough_to_read(tab, others, width, least):
    """Drawn at 150 dots an inch, 8 pt are 17 px: 10 px at 0.6. The plate itself scrolls."""
    tab.open(others / "lecture.html", width, 800)
    script = "[...document.querySelectorAll('.sheet')].map(e => e.clientWidth / e.naturalWidth)"
    assert min(tab.run(script)) >= least - 0.01


def test_numbers_in_checked_pictures_are_large_enough_to_read_on_a_phone(tab, others):
    tab.open(others / "check.html", 390, 844)
    numbers = "[...document.querySelectorAll('.checked text')]"
    assert min(tab.run(f"{numbers}.map(e => e.getBoundingClientRect().height)")) >= 12


def test_nothing_from_a_name_runs_and_no_policy_is_broken(page):
    assert page.run("document.scripts.length") == 2
    assert page.run("document.images.length") == 0
    assert page.run("document.title") == HOSTILE


def test_everything_is_reached_by_the_tab_key_and_seen(page):
    page.run("document.activeElement.blur()")
    reached = []
    for _ in range(40):
        page.press("Tab", 9)
        reached.append(
            page.run(
                "(() => { const e = document.activeElement;"
                "return [e.id || e.className || e.tagName, getComputedStyle(e).outlineStyle,"
                "!!(e.textContent.trim() || e.ariaLabel)]; })()"
            )
        )
    names = [name for name, _, _ in reached]
    for wanted in ("skip", "theme", "zoom-in", "stage", "csv", "which"):
        assert wanted in names, names
    assert all(outline != "none" for _, outline, _ in reached[:25]), reached
