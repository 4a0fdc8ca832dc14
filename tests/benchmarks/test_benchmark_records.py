"""One schema: what is written, what is committed, and the page that is made of it."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from benchmarks import records
from benchmarks.commands import asked
from benchmarks.page import SLOT, TEMPLATE, write_page
from benchmarks.recipes import RECIPES
from benchmarks.records import RESULTS, checked, keep, kept, result
from benchmarks.timing import spread
from temzoo.zoo import pretrained

WEIGHTS = RESULTS.parents[1] / "weights"


def of(name="a b", **told):
    what = {"about": "", "command": "python -m benchmarks startup", "figures": {"v": 1.0}}
    return result("startup", name, **{**what, **told})


def test_every_committed_record_has_the_schema_and_a_table():
    found = kept()
    assert len(found) > 90
    shown = {kind for kind, *_ in SLOT.findall(TEMPLATE.read_text(encoding="utf-8"))}
    for record in found:
        assert checked(record) == record
        assert record["what"] in shown
        assert not record["quick"]
    names = [(record["what"], record["name"]) for record in found]
    assert len({*names}) == len(names)


def test_every_committed_command_is_one_of_the_program():
    commands = {record["command"] for record in kept()}
    commands |= {path.command for path in map(pretrained.read_card, WEIGHTS.glob("*.h5"))}
    for command in commands:
        words = shlex.split(command)
        assert words[:3] == ["python", "-m", "benchmarks"]
        assert asked(words[3:]).command == words[3]


def test_the_committed_page_is_that_of_the_committed_records(tmp_path):
    for path in RESULTS.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    page = write_page(tmp_path).read_text(encoding="utf-8")
    assert page == (RESULTS / "README.md").read_text(encoding="utf-8")
    for record in kept():
        assert f"{record['commit'] or 'not noted'}" in page


def test_the_cards_scores_are_those_of_the_records():
    judged = {r["model"]: r["figures"] for r in kept() if r["what"] == "accuracy"}
    for path in WEIGHTS.glob("*.h5"):
        card = pretrained.read_card(path)
        figures = judged.get(path.name.split(".")[0].replace("-", "/", 1))
        if figures and "iou" in card.scores:
            found = figures["per_image"]["iou"]
            for key, name in (("iou", "value"), ("low", "low"), ("high", "high")):
                assert card.scores[key] == pytest.approx(found[name], abs=6e-5)


def test_recipes_of_records_are_those_that_train_today():
    for record in kept():
        if record["what"] == "recipe" and record["settings"]:
            recipe = RECIPES[record["name"].partition("-seed")[0]]
            plain = json.loads(json.dumps({**recipe.settings}))
            plain.pop("seed", None)
            assert plain.items() <= record["settings"].items()
            assert json.loads(json.dumps(dict(recipe.config))) == record["config"]


def test_a_record_replaces_the_one_of_its_name_alone(tmp_path):
    for quick, value in ((False, 1.0), (False, 2.0), (True, 3.0)):
        path = keep(of(figures={"v": value}, quick=quick), tmp_path)
        keep(of("another", quick=quick), tmp_path)
    assert path.name == "quick-startup.json"
    values = {(r["name"], r["quick"]): r["figures"]["v"] for r in kept(tmp_path)}
    assert values == {
        ("a b", False): 2.0,
        ("a b", True): 3.0,
        ("another", False): 1.0,
        ("another", True): 1.0,
    }
    assert [r["name"] for r in kept(tmp_path, quick=True)] == ["a b", "another"]


def test_what_is_undefined_is_null_and_short_parts_stand_in_one_line(tmp_path):
    rows = [{"iou": float("nan"), "n": np.float32(0.5)}] * 40
    path = keep(of(figures={"rows": rows, "tuple": (1, 2)}), tmp_path)
    text = path.read_text(encoding="utf-8")
    assert json.loads(text)[0]["figures"]["tuple"] == [1, 2]
    assert text.count('    {"iou": null, "n": 0.5}') == 40


def test_a_field_that_is_unknown_or_of_another_type_is_refused():
    with pytest.raises(ValueError, match=r"Received: a b, which differs in threads. Put more into"):
        of(threads=2)
    with pytest.raises(ValueError, match=r"seed of a record is of type int or NoneType. Received"):
        of(seed="0")


def test_a_record_tells_what_was_noted_before_the_measurement(monkeypatch):
    monkeypatch.setattr(records, "_BEGAN", {})
    for commit in ("before", "after"):
        monkeypatch.setattr(records, "_commit", lambda commit=commit: commit)
        records.begin()
        monkeypatch.setattr(records, "_commit", lambda: "since")
        assert of()["commit"] == commit


def test_repetitions_are_the_most_of_any_timing():
    assert of(figures={"a": spread([1.0]), "b": [spread([1.0, 2.0])]})["repetitions"] == 2
    assert of()["repetitions"] == 1
    assert Path(RESULTS / "tried.md").is_file()
