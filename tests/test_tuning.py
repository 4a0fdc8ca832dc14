"""A search: it gains, it can be repeated, stopped, killed and resumed."""

import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

import temzoo
from benchmarks.tuning import examples
from temzoo.core.files import own_folder
from temzoo.data.classes import tagged
from temzoo.training import run_folder
from temzoo.training.train import Run
from temzoo.training.train import train as train_model
from temzoo.training.tuning.search import oracle_of, quiet
from temzoo.training.tuning.space import Dimension, fixed_parts, space_of
from temzoo.zoo import building, cards
from temzoo.zoo.task import task_named

SMALL = {"side": 64, "particles": 2}
TRAIN_OF_TRIALS = "temzoo.training.tuning.trials.train_model"
TRAIN, VAL = examples(3, **SMALL), examples(2, first=50, **SMALL)
QUICK = {
    "epochs": 2,
    "steps_per_epoch": 1,
    "batch": 2,
    "crop": 32,
    "augment": "none",
    "magnification": (1, 1),
}
RANGES = {"width": [2, 3], "kernel": [1, 2, 3], "rates": [(1, 1), (1, 2)]}
RATE = {"learning_rate": [1e-3, 1e-2]}


class Eager(keras.Model):
    """A model whose few small steps take less time outside a graph than tracing one."""

    def compile(self, *args, **keywords):
        super().compile(*args, **{**keywords, "run_eagerly": True})


def dots(*, classes=2, channels=1, width=2, kernel=3, rates=(1, 1)):
    """Three convolutions; an even kernel is refused."""
    if kernel % 2 == 0:
        raise ValueError(f"kernel must be odd. Received: kernel={kernel}.")
    pixels = x = keras.Input((None, None, channels))
    x = keras.layers.Rescaling(1 / 255)(x)
    for rate in rates:
        x = keras.layers.Conv2D(
            width, kernel, padding="same", activation="relu", dilation_rate=rate
        )(x)
    return Eager(pixels, keras.layers.Conv2D(classes, 1, activation="softmax")(x))


def register():
    temzoo.register("dots", task="semantic", ranges=RANGES)(dots)


@pytest.fixture(scope="module", autouse=True)
def toy():
    register()
    yield
    cards.BUILDERS.pop("dots")
    cards._CARDS.pop("dots")


@pytest.fixture
def undrawn(monkeypatch):
    """Runs and searches without their pictures, which those of the fixture ``grid`` have."""
    for name in ("finish", "plot_search"):
        monkeypatch.setattr(f"temzoo.workflows.training.{name}", lambda *args: None)


def find(out, **options):
    search = {**RATE, "kernel": [1, 3], "loss": None, "rates": None}
    options = {"search": search, "trials": 3, **QUICK, **options}
    return temzoo.tune("dots", TRAIN, VAL, out=out, **{"progress": False, **options})


def space(strategy="random", *, search=None, config=None, **settings):
    card = cards.model_card("dots")
    fixed = fixed_parts(card, config or {}, settings, TRAIN)
    return space_of(card, search or {}, fixed, strategy)


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """Four trials of a grid, two of which the model refuses; and what it printed."""
    search = {**RATE, "width": None, "loss": None, "rates": None}
    return find(
        tmp_path_factory.mktemp("searches") / "grid",
        strategy="grid",
        trials=4,
        search={**search, "kernel": [3, 2]},
    )


def test_the_default_is_tried_first_and_a_refused_combination_does_not_end_the_search(grid):
    tried = [(row["kernel"], row["learning_rate"], row["status"]) for row in grid.table]
    assert tried == [
        (3, 1e-3, "finished"),
        (3, 1e-2, "finished"),
        (2, 1e-3, "failed"),
        (2, 1e-2, "failed"),
    ]
    assert grid.default_score == grid.table[0]["score"]
    assert grid.table[2]["message"] == "ValueError: kernel must be odd. Received: kernel=2."
    assert grid.table[2]["score"] is None
    assert grid.best["score"] == max(row["score"] for row in grid.table[:2])
    assert grid.score_name == "IoU"


def test_the_folder_tells_all(grid):
    told = json.loads((grid.folder / "search.json").read_text())
    assert told["strategy"] == "grid"
    assert told["ranges"]["kernel"] == {"choices": [3, 2]}
    assert told["config"] == {"classes": 2}
    assert told["settings"]["epochs"] == 2
    assert told["data"]["train"] == run_folder.fingerprint(TRAIN)
    assert {"keras", "keras-tuner"} <= set(told["sessions"][0]["versions"])
    with open(grid.folder / "trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["score"] for row in rows[:2]] == [str(r["score"]) for r in grid.table[:2]]
    assert list(rows[0])[:8] == [
        *("trial", "status", "score", "epoch", "minutes", "parameters"),
        *("kernel", "learning_rate"),
    ]
    assert int(rows[0]["parameters"]) == building.get_model("dots").count_params()
    assert (grid.folder / "search.png").read_bytes()[:4] == b"\x89PNG"
    outside = {"search.json", "trials.csv", "search.png", "trials", "best"}
    assert {path.name for path in grid.folder.iterdir()} == outside


def test_the_best_is_an_ordinary_run(grid):
    assert grid.run.score == grid.best["score"]
    assert grid.run.folder == grid.folder / "best"
    model = temzoo.get_model("dots", weights=grid.run.folder)
    assert temzoo.evaluate(model, VAL).iou.value == pytest.approx(grid.best["score"], abs=1e-4)
    told = json.loads((grid.run.folder / "run.json").read_text())
    assert told["settings"]["learning_rate"] == grid.best["settings"]["learning_rate"]
    assert len(grid.run.history) == 2


def test_the_summary_says_what_was_gained(grid):
    first, second = grid.summary().splitlines()
    assert first == (
        f"best IoU {grid.best['score']:.4f} in trial {grid.best['trial']} of 4;"
        f" the default's {grid.default_score:.4f}"
    )
    assert second.startswith("kernel=3, learning_rate=0.0")
    nothing = replace(grid, best=None)
    assert nothing.summary() == "no trial was finished"


def test_what_is_finished_is_not_repeated_and_a_best_is_retrained_once(grid, monkeypatch, undrawn):
    calls = []
    real = train_model

    def counted(*args, **options):
        calls.append((options["out"], options["resume"]))
        return real(*args, **options)

    monkeypatch.setattr(TRAIN_OF_TRIALS, counted)
    search = {**RATE, "width": None, "loss": None, "rates": None, "kernel": [3, 2]}
    same = {"strategy": "grid", "search": search, "resume": True, "trials": 9}
    again = find(grid.folder, **same)
    assert again.table == grid.table
    assert calls == []
    longer = find(grid.folder, **same, final={"epochs": 3})
    assert len(longer.run.history) == 3
    find(grid.folder, **same, final={"epochs": 3})
    assert calls == [(grid.folder / "best", False), (grid.folder / "best", True)]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"strategy": "random"}, r"Received: strategy 'random', in .*search.json 'grid'"),
        ({"seed": 1}, r"Received: seed 1, in .*search.json 0"),
        ({"epochs": 5}, r"Received: settings: epochs 5, in .*search.json 2"),
        ({"config": {"width": 5}}, r"Received: config: width 5, in .*search.json None"),
    ],
)
def test_another_search_is_not_resumed(grid, change, text):
    search = {**RATE, "width": None, "loss": None, "rates": None, "kernel": [3, 2]}
    options = {"strategy": "grid", "search": search, "resume": True, **change}
    with pytest.raises(ValueError, match=text):
        find(grid.folder, **options)
    options = {"strategy": "grid", "search": {**search, "kernel": [3, 1]}, "resume": True}
    with pytest.raises(ValueError, match=r"ranges: kernel {'choices': \[3, 1\]}, in .*\[3, 2\]"):
        find(grid.folder, **options)


def test_a_folder_is_for_one_search(grid, tmp_path):
    with pytest.raises(FileExistsError, match=r"holds a search already. Resume it"):
        find(grid.folder)
    with pytest.raises(FileNotFoundError, match=r"no search to resume in .* Start it anew"):
        find(tmp_path / "none", resume=True)


KILLED = """
import os, signal, sys
import test_tuning
from temzoo.training import loop

begin = loop._EndOfEpoch.on_epoch_begin

def killed(self, epoch, logs=None):
    if self.trainer.folder.name == "001" and epoch == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    begin(self, epoch, logs)

loop._EndOfEpoch.on_epoch_begin = killed
test_tuning.register()
test_tuning.find(sys.argv[1], trials=2)
"""


def test_killed_and_resumed_it_ends_as_if_nothing_had_been(tmp_path, monkeypatch, undrawn):
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here), str(here.parent)])
    command = [sys.executable, "-c", KILLED, str(tmp_path / "killed")]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (
        json.loads((tmp_path / "killed/trials/001/trial.json").read_text())["status"] == "started"
    )
    begun = []
    real = train_model

    def noted(*args, **options):
        begun.append((options["out"].name, options["resume"]))
        return real(*args, **options)

    monkeypatch.setattr(TRAIN_OF_TRIALS, noted)
    resumed = find(tmp_path / "killed", trials=2, resume=True)
    assert begun == [("001", True)]
    whole = find(tmp_path / "whole", trials=2)
    left_out = ("minutes",)
    for one, other in zip(resumed.table, whole.table, strict=True):
        assert {k: v for k, v in one.items() if k not in left_out} == {
            k: v for k, v in other.items() if k not in left_out
        }
    assert len(json.loads((tmp_path / "killed/search.json").read_text())["sessions"]) == 2


def stub_of(monkeypatch, outcomes, minutes=1.0):
    """Training that ends as told, at once, and whose clock goes on by ``minutes`` each time."""
    clock = [0.0]
    left = iter(outcomes)

    def train(model, learn, judge, *, out, resume, progress, on_finish, **settings):
        clock[0] += 60 * minutes
        outcome = next(left)
        if isinstance(outcome, BaseException):
            raise outcome
        return Run(Path(out), outcome, 1, ())

    monkeypatch.setattr(TRAIN_OF_TRIALS, train)
    monkeypatch.setattr("temzoo.training.tuning.trials.time.monotonic", lambda: clock[0])


def test_ctrl_c_keeps_what_is_done(tmp_path, monkeypatch, capsys):
    stub_of(monkeypatch, [0.5, MemoryError("no room"), 0.7, KeyboardInterrupt()])
    found = find(tmp_path, trials=9, retrain=False, progress=True)
    assert found.interrupted
    assert [row["status"] for row in found.table] == ["finished", "failed", "finished", "stopped"]
    assert (found.best["score"], found.default_score, found.run) == (0.7, 0.5, None)
    assert found.table[1]["message"] == "MemoryError: no room"
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "trial 0 (1 of 9)  IoU 0.5000  best 0.5000 in trial 0  8.0 min left"
    assert said[1] == (
        "trial 1 (2 of 9)  MemoryError: no room  best 0.5000 in trial 0  7.0 min left"
    )


def test_ctrl_c_before_any_trial_was_finished_gives_no_best(tmp_path, monkeypatch):
    stub_of(monkeypatch, [KeyboardInterrupt()])
    found = find(tmp_path, trials=9)
    assert found.interrupted
    assert (found.best, found.run, found.default_score) == (None, None, None)


def test_no_trial_starts_that_would_end_too_late(tmp_path, monkeypatch):
    stub_of(monkeypatch, [0.1, 0.2, 0.3, 0.4, 0.5], minutes=2.0)
    found = find(tmp_path, trials=None, minutes=7, retrain=False)
    assert [row["minutes"] for row in found.table] == [2, 2, 2]


def test_a_score_that_is_no_number_is_a_failed_trial(tmp_path, monkeypatch):
    stub_of(monkeypatch, [0.2, float("nan"), float("-inf")])
    found = find(tmp_path, retrain=False)
    assert [row["status"] for row in found.table] == ["finished", "failed", "failed"]
    assert found.table[1]["message"] == "no epoch had a finite score"


def test_what_always_fails_ends_the_search(tmp_path, monkeypatch):
    stub_of(monkeypatch, [ValueError("wrong data")] * 9)
    with pytest.raises(RuntimeError, match=r"could be trained: 3 failed, the first by ValueError:"):
        find(tmp_path, trials=9)


def test_a_trial_that_is_killed_again_and_again_is_given_up(tmp_path, monkeypatch):
    # SystemExit leaves as abruptly as a kill does: nothing is noted after it.
    stub_of(monkeypatch, [0.5, SystemExit(), SystemExit(), 0.7])
    for resume in (False, True):
        with pytest.raises(SystemExit):
            find(tmp_path, resume=resume, retrain=False)
    found = find(tmp_path, resume=True, retrain=False)
    assert found.table[1]["message"] == "killed 2 times in epoch 1; short of memory?"
    assert [row["status"] for row in found.table] == ["finished", "failed", "finished"]


def test_a_full_disk_ends_the_search_and_fails_no_trial(tmp_path, monkeypatch):
    full = OSError(28, "No space left on device")
    stub_of(monkeypatch, [0.5, full, full, full, 0.7, 0.6])
    for resume in (False, True, True):
        with pytest.raises(OSError, match="No space left"):
            find(tmp_path, resume=resume, retrain=False)
    found = find(tmp_path, resume=True, retrain=False)
    assert {row["status"] for row in found.table} == {"finished"}


def test_a_trial_that_gets_further_inside_its_epoch_is_not_given_up(tmp_path, monkeypatch):
    stub_of(monkeypatch, [0.5, SystemExit(), SystemExit(), SystemExit(), 0.7])
    state = tmp_path / "trials/001/state/progress.json"
    for step in (0, 3, 6):
        with pytest.raises(SystemExit):
            find(tmp_path, resume=step > 0, retrain=False)
        state.parent.mkdir(parents=True, exist_ok=True)
        state.write_text(json.dumps({"epoch": 0, "step": step + 3, "minutes": 0.1}))
    found = find(tmp_path, resume=True, retrain=False)
    assert found.table[1]["status"] == "finished"


def test_a_failure_of_the_search_itself_is_not_taken_for_a_trial(tmp_path, monkeypatch):
    stub_of(monkeypatch, [0.5, 0.6, 0.7])
    from temzoo.training.tuning import trials

    real = trials.write_json

    def full(path, content, **how):
        if path.parent.name == "001":
            raise OSError("No space left on device")
        real(path, content, **how)

    monkeypatch.setattr(trials, "write_json", full)
    with pytest.raises(OSError, match="No space left"):
        find(tmp_path)


def proposals(folder, strategy, count, *, seed=0, **options):
    """What an oracle proposes, when a rate of 5e-3 and dilated convolutions score best."""
    searched = space(strategy, **options)
    found = []
    with quiet():
        asked = oracle_of(searched, strategy, seed)
        asked._set_project_dir(folder, f"{strategy}-{seed}-{len(list(folder.iterdir()))}")
        for _ in range(count):
            trial = asked.create_trial("tuner")
            if trial.status == "STOPPED":
                break
            found.append(searched.decode(trial.hyperparameters.values))
            asked.update_trial(trial.trial_id, {"score": score_of(found[-1])})
            trial.status = "COMPLETED"
            asked.end_trial(trial)
    return found


def score_of(values):
    best_rate = -(np.log10(values.get("learning_rate", 5e-3) / 5e-3) ** 2)
    return best_rate + 0.2 * (values.get("rates") == (1, 2))


@pytest.mark.parametrize("strategy", ["random", "bayesian"])
def test_a_seed_gives_the_proposals_and_the_default_comes_first(strategy, tmp_path):
    search = {"width": None, "kernel": None, "loss": None, "batch": None}
    first, again = (proposals(tmp_path, strategy, 6, search=search) for _ in range(2))
    assert first == again
    assert first[0] == {"rates": (1, 1), "learning_rate": 1e-3}
    assert proposals(tmp_path, strategy, 3, search=search, seed=1)[1:] != first[1:3]
    keys = [json.dumps(values) for values in first]
    assert len(set(keys)) == len(keys)


def test_a_gaussian_process_closes_in_on_the_best_rate(tmp_path):
    search = {"width": None, "kernel": None, "loss": None, "batch": None}
    found = proposals(tmp_path, "bayesian", 9, search=search)
    drawn = proposals(tmp_path, "random", 9, search=search)
    assert max(map(score_of, found)) > 0.2 - np.log10(1.3) ** 2  # near the best rate, dilated
    assert np.mean([*map(score_of, found[5:])]) > np.mean([*map(score_of, drawn[5:])]) + 0.1


@pytest.mark.parametrize("strategy", ["grid", "random", "bayesian"])
def test_nothing_is_tried_twice_until_the_ranges_are_exhausted(strategy, tmp_path):
    search = {"width": [2, 3], "kernel": [3, 5], "rates": None, "loss": None, "batch": None}
    search["learning_rate"] = None
    found = [tuple(v.values()) for v in proposals(tmp_path, strategy, 9, search=search)]
    assert sorted(found) == [(2, 3), (2, 5), (3, 3), (3, 5)]


def test_a_grid_varies_the_last_range_fastest_from_the_default_on(tmp_path):
    found = proposals(tmp_path, "grid", 7, search={"loss": None})
    assert [(v["batch"], v["learning_rate"]) for v in found] == [
        *((8, 1e-3), (8, 1e-4), (8, 1e-2)),
        *((4, 1e-3), (4, 1e-4), (4, 1e-2)),
        (16, 1e-3),
    ]


def test_a_default_outside_the_ranges_is_not_proposed(tmp_path):
    found = proposals(tmp_path, "random", 6, search={"width": [7, 9]})
    assert {values["width"] for values in found} == {7, 9}
    assert space(search={"width": [7, 9]}).defaults()["width"] == 2


def test_ranges_are_the_cards_the_trainings_and_what_search_says():
    assert [*space().dimensions] == ["width", "kernel", "rates", "loss", "batch", "learning_rate"]
    assert space().dimensions["loss"].choices == temzoo.tasks.semantic.LOSSES
    assert space().defaults()["loss"] == "dice_ce"
    narrowed = space(search={"width": None, "augment": ["em", "light"]}, batch=2)
    assert [*narrowed.dimensions] == ["kernel", "rates", "loss", "learning_rate", "augment"]


def test_models_without_a_choice_of_losses_have_none_to_search():
    card = cards.model_card("mask_rcnn")
    searched = space_of(card, {}, fixed_parts(card, {}, {}, TRAIN), "random")
    assert "loss" not in searched.dimensions
    assert searched.dimensions["features"].choices == (32, 64, 96)


@pytest.mark.parametrize("name", cards.list_models())
def test_declared_ranges_are_of_keywords_and_ranges_indeed(name):
    card = cards.model_card(name)
    assert set(card.ranges) <= set(card.config)
    of_classes = task_named(card.task).examples == "classes"
    shown = [tagged(each, str(k % 2)) for k, each in enumerate(TRAIN)] if of_classes else TRAIN
    searched = space_of(card, {}, fixed_parts(card, {}, {}, shown), "grid")
    for keyword in card.ranges:
        assert len(searched.dimensions[keyword].choices) > 1


def test_numbers_are_drawn_within_a_range_and_can_be_typed():
    rate = Dimension("rate", 1e-3, None, 1e-4, 1e-2, log=True)
    assert rate.decode(0.00037482913) == 0.0003748
    assert rate.decode(0.00999999) == 0.01
    assert Dimension("rate", 1e-3, None, 0.12344, 0.2).decode(0.12344) == 0.12344
    assert rate.gridded().choices == (1e-4, 1e-3, 1e-2)
    assert Dimension("n", 2, None, 2, 5).gridded().choices == (2, 4, 5)
    assert Dimension("n", 2, None, 2, 5).decode(3) == 3
    assert (rate.encode(1e-3), rate.encode(1.0), rate.encode("x")) == (1e-3, None, None)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([], r"A range is a list of choices.* Received: width=\[\]"),
        ((3,), r"A range is a list of choices.* Received: width=\(3,\)"),
        ((3, 2), r"A range is a list of choices.* Received: width=\(3, 2\)"),
        ((1, 2, "lin"), r"A range is a list of choices.* Received: width=\(1, 2, 'lin'\)"),
        ("abc", r"A range is a list of choices.* Received: width='abc'"),
        ((0, 2, "log"), r"A logarithmic range begins above 0. Received: width=\(0, 2, 'log'\)"),
    ],
)
def test_what_is_no_range_is_refused(given, text):
    with pytest.raises(ValueError, match=text):
        space(search={"width": given})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"strategy": "gird"}, r"strategy must be one of random, grid, bayesian.* mean grid\?"),
        ({"search": {"widht": [1]}}, r'no hyper-parameter "widht". Did you mean width\?'),
        ({"search": {"seed": [1, 2]}}, r'no hyper-parameter "seed"'),
        ({"search": {"epochs": [1, 2]}}, r"searched or fixed. Received both for epochs"),
        ({"search": {"width": [1]}, "config": {"width": 2}}, r"Received both for width"),
        ({"config": {"widht": 2}}, r'"dots" has no keyword "widht". Did you mean width\?'),
        ({"epoch": 3}, r'tune has no setting "epoch". Did you mean epochs or '),
        ({"epochs": 0}, r"epochs must be at least 1. Received: epochs=0"),
        ({"final": {"epoch": 3}}, r'final has no setting "epoch". Did you mean epochs or '),
        ({"trials": 0}, r"trials must be greater than 0. Received: trials=0"),
        ({"minutes": -1}, r"minutes must be greater than 0. Received: minutes=-1"),
    ],
)
def test_a_mistake_is_named_before_anything_is_written(options, text, tmp_path):
    with pytest.raises(ValueError, match=text):
        find(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_search_needs_something_to_search(tmp_path):
    search = dict.fromkeys([*RANGES, "loss", "learning_rate"])
    with pytest.raises(ValueError, match=r'nothing to search: "dots" has no ranges, or all are'):
        find(tmp_path / "out", search=search)


def test_one_search_at_a_time_writes_into_a_folder(tmp_path):
    busy = pytest.raises(RuntimeError, match="One job at a time writes into a folder")
    with own_folder(tmp_path / "out"), busy:
        temzoo.tune("dots", TRAIN, VAL, out=tmp_path / "out", trials=1)
