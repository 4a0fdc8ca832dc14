"""Corrections by hand in the page: by mouse and keys; applied they give what it counted."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pages_of_tests import Reader, disks, save_disks

import temzoo
from temzoo.core.types import Detection, Prediction
from temzoo.inference.objects import flattened
from temzoo.measurement.table import frame_of
from temzoo.pages import write_report
from temzoo.pages.correcting import tools_html
from temzoo.pages.viewer import viewer_html
from temzoo.store import predictions
from temzoo.store.corrections import corrected, instances_sha256, read_corrections
from temzoo.workflows.apply_corrections import apply_corrections

SHIFT, CONTROL = 8, 2
KINDS = ("dot", 'r"od<b>')


def detector():
    """Squares that overlap in pairs: 3 by falling score, of 30, 20 and 10 px, and one apart."""
    boxes = [(20, 20, 30, 0.9), (40, 40, 20, 0.8), (55, 55, 10, 0.7), (100, 100, 24, 0.6)]
    found = [Detection(t, left, np.ones((n, n), bool), 1, s) for t, left, n, s in boxes]
    drawn = flattened(found, (160, 160))
    return replace(drawn, class_names=KINDS, name="d.png", nm_per_pixel=(0.5, 0.5))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corrections")
    more = {"nm_per_pixel": (0.5, 0.5), "class_names": KINDS}
    save_disks(folder / "p", folder / "i", ["a.png", "b.png"], **more)
    predictions.save(detector(), folder / "p")
    uncalibrated, _ = disks("u.png", class_names=KINDS)
    predictions.save(uncalibrated, folder / "p")
    return folder


@pytest.fixture(scope="module")
def unsure(tmp_path_factory):
    """Disks and a detector's squares with two doubtful objects each; of "z.png" nothing else."""
    folder = tmp_path_factory.mktemp("unsure")
    more = {"nm_per_pixel": (0.5, 0.5), "class_names": KINDS}
    doubtful = (
        Detection(38, 2, np.ones((12, 12), bool), 1, 0.35),
        Detection(148, 75, np.ones((12, 8), bool), 2, 0.3),
    )
    found, _ = disks("a.png", **more)
    classes = found.classes.copy()
    classes[38:50, 2:14], classes[148:160, 75:83] = 1, 2
    nothing = {"classes": 0 * found.classes, "instances": 0 * found.instances, "name": "z.png"}
    overlapping = (Detection(60, 60, np.ones((8, 8), bool), 1, 0.35), doubtful[1])
    for one in (
        replace(found, classes=classes, doubtful=doubtful),
        replace(detector(), doubtful=overlapping),
        replace(found, **nothing, doubtful=doubtful),
    ):
        predictions.save(one, folder / "p")
    return folder


@pytest.fixture(scope="module")
def path(folder):
    return write_report(folder / "p")


def test_the_page_names_each_prediction_by_its_instances(path, folder):
    told = Reader(path).block("particles")["predictions"]
    maps = [
        predictions.load_prediction(path).instances
        for path in predictions.list_predictions(folder / "p")
    ]
    assert [one["sha256"] for one in told] == [instances_sha256(one) for one in maps]
    assert all(one["classes"] == list(KINDS) for one in told)
    assert told[2]["shared"] == [[1, 2, 25.0], [2, 3, 6.25]]


def test_what_was_corrected_is_said_in_a_report_of_it(folder, tmp_path):
    first = predictions.load_prediction(folder / "p" / "a.prediction.json")
    sha256 = instances_sha256(first.instances)
    one = {"image": "a.png", "instances_sha256": sha256, "exclude": [1]}
    file = tmp_path / "c.json"
    file.write_text(json.dumps({"temzoo_corrections": 1, "images": [one]}))
    apply_corrections(folder / "p", file, tmp_path / "out")
    assert "Corrected by hand 1 excluded" in Reader(write_report(tmp_path / "out")).text


def test_what_is_not_on_disk_has_no_tools():
    assert 'id="correct"' not in viewer_html(["<article></article>"], ["a.png"])


@pytest.fixture
def page(tab, path):
    tab.complaints.clear()
    tab.requests.clear()
    tab.open(path)
    tab.click(*tab.middle("#correct"))
    yield tab
    assert tab.complaints == []
    local = ("file:", "data:", "blob:", "about:")
    fetched = [url for url in tab.requests if not url.startswith(local)]
    assert fetched == []


def live(page) -> list[list[str]]:
    """Number, D50 in nm and in px: as predicted, then corrected."""
    rows = "[...document.querySelectorAll('#correcting tbody tr')]"
    return page.run(f"{rows}.map(tr => [...tr.querySelectorAll('td')].map(e => e.textContent))")


def saved(page) -> dict:
    text = page.run(
        "new Promise(done => { URL.createObjectURL = blob => {"
        "  blob.text().then(done); return 'blob:none'; };"
        "  HTMLAnchorElement.prototype.click = () => {};"
        "  document.querySelector('[data-do=save]').click(); })"
    )
    return json.loads(text)


def pick(page, number: int, modifiers: int = 0) -> None:
    page.click(*page.middle(f".plate.current .objects [data-p='{number}']"), modifiers=modifiers)


def rows_of(page, kind: str) -> list[str]:
    rows = f"[...document.querySelectorAll('.catalogue tbody tr{kind}')]"
    return page.run(f"{rows}.map(tr => tr.firstChild.textContent)")


def turn(page, plate: int) -> None:
    page.click(*page.middle(f".strip [data-plate='{plate}']"))


def shown(value: float) -> str:
    return f"{value:.{max(0, 2 - int(np.floor(np.log10(value))))}f}"


def figures(folder, file=None) -> list[str]:
    """What the page should show, by ``temzoo.measure`` and ``temzoo.summarize``."""
    given = None if file is None else read_corrections(file)
    counts, middles = 0, []
    loaded = map(predictions.load_prediction, predictions.list_predictions(folder / "p"))
    found = [each if given is None else given.of(each) for each in loaded]
    for unit in ("nm", "px"):
        own = [each for each in found if (each.nm_per_pixel is None) == (unit == "px")]
        if not own:
            continue
        tables = [temzoo.measure(each) for each in own]
        frames = {each.name: frame_of(each) for each in own}
        row = temzoo.summarize(pd.concat(tables), by=None, frames=frames, bootstrap=0).iloc[0]
        counts += row["particles"]
        middles.append(shown(row[f"diameter_d50_{unit}"]))
    return [str(counts), *middles]


def test_the_figures_as_predicted_are_those_of_measure(page, folder):
    assert live(page) == [figures(folder), figures(folder)]


def test_what_the_page_counts_is_what_the_saved_file_gives(page, folder, tmp_path):
    pick(page, 5)
    page.press("x", 88, "x")
    pick(page, 7)
    pick(page, 8, SHIFT)
    pick(page, 10, SHIFT)
    page.press("m", 77, "m")
    pick(page, 11)
    page.press("2", 50, "2")
    turn(page, 2)
    pick(page, 6)
    page.press("Delete", 46)
    turn(page, 3)
    pick(page, 1)
    pick(page, 2, SHIFT)
    page.click(*page.middle("[data-do=merge]"))
    page.click(*page.middle("[data-kind='dot'] + [data-kind]"))
    turn(page, 4)
    pick(page, 6)
    page.press("x", 88, "x")
    told = saved(page)
    assert [one["image"] for one in told["images"]] == ["a.png", "b.png", "d.png", "u.png"]
    assert [one["exclude"] for one in told["images"]] == [[5], [6], [], [6]]
    assert [one["merge"] for one in told["images"]] == [[[7, 8, 10]], [], [[1, 2]], []]
    assert [one["relabel"] for one in told["images"]] == [{"11": KINDS[1]}, {}, {"1": KINDS[1]}, {}]
    file = tmp_path / "corrections.json"
    file.write_text(json.dumps(told))
    assert live(page) == [figures(folder), figures(folder, file)]
    assert live(page)[0] != live(page)[1]
    given = read_corrections(file).images["d.png"]
    areas = temzoo.measure(corrected(detector(), given))["area_nm2"]
    assert sorted(areas) == [25.0, 144.0, 300.0]


def doubt(page, number: int, modifiers: int = 0) -> None:
    page.click(*page.middle(f".plate.current .doubtful [data-p='{number}']"), modifiers=modifiers)


def test_doubtful_objects_are_taken_in_merged_and_relabelled(tab, unsure, tmp_path):
    tab.complaints.clear()
    tab.open(write_report(unsure / "p"))
    tab.click(*tab.middle("[data-layer='doubtful-on']"))  # off, but seen where they can be taken in
    tab.click(*tab.middle("#correct"))
    start = live(tab)
    assert start == [figures(unsure), figures(unsure)]
    said = "document.querySelector('#corrected').textContent"
    count = int(tab.run("document.querySelectorAll('.plate.current .objects path').length"))
    doubt(tab, count + 1)
    told = f"{count + 1} of a.png is doubtful and not counted: x takes it in"
    assert tab.run(said) == told
    tab.press("m", 77, "m")
    tab.press("2", 50, "2")
    assert tab.run(said) == "Take it in first, with x"
    tab.press("x", 88, "x")
    assert tab.run(said).startswith(f"Taken in {count + 1} of a.png: ")
    tab.press("2", 50, "2")
    doubt(tab, count + 2)
    tab.press("x", 88, "x")
    pick(tab, 5, SHIFT)
    tab.press("m", 77, "m")
    turn(tab, 2)
    doubt(tab, 5)  # lies on the third square in part
    tab.press("x", 88, "x")
    pick(tab, 3, SHIFT)
    tab.press("m", 77, "m")
    turn(tab, 3)
    doubt(tab, 1)
    tab.press("x", 88, "x")
    told = saved(tab)["images"]
    assert [one["image"] for one in told] == ["a.png", "d.png", "z.png"]
    box, low = [38, 2, 50, 14], [148, 75, 160, 83]
    assert told[0]["include"] == {str(count + 1): box, str(count + 2): low}
    assert told[0]["merge"] == [[5, count + 2]]
    assert told[0]["relabel"] == {str(count + 1): KINDS[1]}
    assert (told[1]["include"], told[1]["merge"]) == ({"5": [60, 60, 68, 68]}, [[3, 5]])
    assert (told[2]["include"], told[2]["exclude"]) == ({"1": box}, [])
    file = tmp_path / "corrections.json"
    file.write_text(json.dumps({"temzoo_corrections": 1, "images": told}))
    assert live(tab) == [figures(unsure), figures(unsure, file)]
    assert live(tab)[0] != live(tab)[1]
    for _ in range(8):
        tab.press("u", 85, "u")
    assert live(tab) == start
    assert saved(tab)["images"] == []
    assert tab.run("document.querySelectorAll('.doubtful path').length") == 6
    turn(tab, 2)
    for _ in range(4):  # 4, 5, then both of the next micrograph
        tab.press("d", 68, "d")
    tab.press("x", 88, "x")
    assert [(one["image"], one["include"]) for one in saved(tab)["images"]] == [
        ("z.png", {"2": low})
    ]
    tab.press("d", 68, "d")  # the first of all again
    assert tab.run(said).startswith(f"{count + 1} of a.png is doubtful")
    assert tab.complaints == []


def test_undo_goes_back_step_by_step_also_on_another_micrograph(page):
    start = live(page)
    pick(page, 5)
    page.press("x", 88, "x")
    once = live(page)
    pick(page, 6)
    pick(page, 7, SHIFT)
    page.press("m", 77, "m")
    turn(page, 2)
    page.press("u", 85, "u")
    assert live(page) == once
    page.press("z", 90, modifiers=CONTROL)
    assert live(page) == start
    page.press("u", 85, "u")
    assert page.run("document.querySelector('#corrected').textContent") == "Nothing to undo"
    turn(page, 1)
    assert rows_of(page, ".gone") == []
    assert page.run("document.querySelectorAll('.objects path.gone').length") == 0
    assert saved(page)["images"] == []


def test_what_was_undone_is_done_again_until_another_correction(page):
    pick(page, 5)
    page.press("x", 88, "x")
    pick(page, 6)
    pick(page, 7, CONTROL)  # adds, as Shift does
    page.press("m", 77, "m")
    end, file = live(page), saved(page)
    page.press("u", 85, "u")
    page.press("z", 90, modifiers=CONTROL)
    page.press("r", 82, "r")
    said = page.run("document.querySelector('#corrected').textContent")
    assert said.startswith("Done again: Excluded 5 of a.png: ")
    page.press("y", 89, modifiers=CONTROL)
    assert live(page) == end
    assert saved(page) == file
    page.press("u", 85, "u")
    page.press("z", 90, modifiers=CONTROL | SHIFT)
    assert saved(page) == file
    page.press("u", 85, "u")
    pick(page, 9)
    page.press("x", 88, "x")
    page.press("r", 82, "r")
    assert page.run("document.querySelector('#corrected').textContent") == "Nothing to redo"
    assert saved(page)["images"][0]["exclude"] == [5, 9]


def test_the_commands_that_take_the_file_name_the_folder(path, folder):
    told = Reader(path).text
    assert "temzoo measure p --corrections corrections.json" in told
    assert "temzoo apply-corrections p corrections.json --out corrected" in told
    assert "Doubtful" not in told
    tools = tools_html(["dot"], "my 1st <b>", doubtful=True)
    assert "measure &#x27;my 1st &lt;b&gt;&#x27; --corrections" in tools
    assert "Doubtful objects, drawn dotted, count once they are taken in." in tools


def test_what_is_excluded_merged_and_relabelled_is_seen_and_said(page):
    pick(page, 5)
    page.press("x", 88, "x")
    assert rows_of(page, ".gone") == ["5 excluded"]
    assert page.run("document.querySelector('.plate.current .struck').getAttribute('d').length") > 9
    assert "Excluded 5 of a.png: " in page.run("document.querySelector('#said').textContent")
    page.press("x", 88, "x")  # taken in again
    assert rows_of(page, ".gone") == []
    pick(page, 9)
    pick(page, 6, SHIFT)
    assert rows_of(page, "[aria-selected=true]") == ["6", "9"]
    page.press("m", 77, "m")
    assert rows_of(page, "[aria-selected=true]") == ["6 + 9", "9 in 6"]
    d = "document.querySelector('.plate.current .together').getAttribute('d')"
    assert page.run(f"{d}.split('z').length - 1") == 2
    page.press("2", 50, "2")
    cells = "[...document.querySelectorAll('.catalogue [aria-selected=true] [data-key=class]')]"
    if page.run(f"{cells}.length"):
        assert page.run(f"{cells}.map(e => e.textContent)") == [KINDS[1]] * 2
    group = "document.querySelector('.plate.current .objects [data-p=\"9\"]').parentNode"
    assert page.run(f"{group}.getAttribute('class')") == "c2"
    page.press("u", 85, "u")
    assert page.run(f"{group}.getAttribute('class')") == "c1"


def test_the_keyboard_alone_corrects(page):
    page.run("document.querySelector('.catalogue tbody tr').focus()")
    page.press("ArrowDown", 40)
    page.press("ArrowDown", 40, modifiers=SHIFT)
    assert rows_of(page, "[aria-selected=true]") == ["2", "3"]
    page.press("m", 77, "m")
    assert saved(page)["images"][0]["merge"] == [[2, 3]]
    page.press("m", 77, "m")
    said = page.run("document.querySelector('#corrected').textContent")
    assert said == "Choose two particles or more, with Shift"


def test_several_are_chosen_without_shift(page):
    page.click(*page.middle("#several"))
    pick(page, 5)
    pick(page, 6)
    page.click(*page.middle("[data-do=merge]"))
    assert saved(page)["images"][0]["merge"] == [[5, 6]]


def test_nothing_is_chosen_or_changed_while_the_tools_are_closed(page):
    page.click(*page.middle("#correct"))
    pick(page, 5)
    page.press("x", 88, "x")
    assert page.run("document.querySelector('#correcting').hidden")
    page.click(*page.middle("#correct"))
    assert live(page)[0] == live(page)[1]


def test_leaving_with_unsaved_corrections_is_asked(page, path):
    def asks() -> bool:
        return page.run(
            "(() => { const e = new Event('beforeunload', {cancelable: true});"
            "dispatchEvent(e); return e.defaultPrevented; })()"
        )

    assert not asks()
    pick(page, 5)
    page.press("x", 88, "x")
    assert asks()
    saved(page)
    assert not asks()
    page.press("u", 85, "u")
    page.dialogs.clear()
    page.open(path)
    assert page.dialogs == ["beforeunload"]


@pytest.mark.parametrize("width", [320, 390, 800, 1280])
def test_the_tools_fit_every_width(page, path, width):
    page.size(width, 800)
    assert page.run("document.documentElement.scrollWidth") <= width


def test_thousands_of_particles_are_corrected_at_once(tab, tmp_path):
    count = 56**2
    numbers = np.arange(1, count + 1, dtype=np.int32).reshape(56, 56)
    instances = np.kron(numbers, np.pad(np.ones((6, 6), np.int32), 1))
    maps = (instances > 0).astype(np.uint8), instances
    predictions.save(Prediction(*maps, class_names=KINDS, name="many.png"), tmp_path)
    tab.open(write_report(tmp_path))
    tab.click(*tab.middle("#correct"))
    tab.run("document.querySelector('.catalogue tbody tr').focus()")
    took = tab.run(
        "(() => { const shift = {bubbles: true, shiftKey: true};"
        "for (const path of [...document.querySelectorAll('.objects path')].slice(0, 40))"
        "  path.dispatchEvent(new MouseEvent('click', shift));"
        "const start = performance.now(); document.querySelector('[data-do=exclude]').click();"
        "return performance.now() - start; })()"
    )
    assert live(tab)[1][0] == str(count - 40)
    assert took < 500
    saved(tab)
