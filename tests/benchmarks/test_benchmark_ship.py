"""Shipped weights: cards, what lower precisions cost, other seeds."""

import json

import numpy as np
import pytest

import temzoo
from benchmarks import ship
from benchmarks.commands import asked
from benchmarks.records import RESULTS, keep, result
from temzoo.inference import confidence
from temzoo.tasks.distance import COUNTED
from temzoo.zoo import pretrained

ROWS = [
    {"engine": "tensorflow", "precision": "float32", "iou_change": {"value": 0.0}},
    {"engine": "openvino", "precision": "bfloat16", "iou_change": {"value": -0.000123}},
]
TINY = {"filters": 2, "depth": 1}


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A shipped set "unet/tiny", in a folder of its own."""
    monkeypatch.setattr(ship, "WEIGHTS", tmp_path)
    path = ship.path_of("unet/tiny")
    pretrained.save(temzoo.get_model("unet", **TINY, compile=False), path)
    pretrained.write_card(path, pretrained.WeightsCard("unet", TINY))
    return path


def recorded(folder):
    told = {"about": "", "command": "it", "model": "unet/tiny"}
    return keep(result("precision", "tiny", figures={"rows": ROWS}, **told), folder)


def test_a_card_says_what_lower_precisions_cost(weights):
    recorded(weights.parent / "results")
    path = ship.vouch("unet/tiny", "precision", weights.parent / "results")
    assert pretrained.read_card(path).precisions == {"openvino bfloat16": -0.00012}
    assert temzoo.get_model("unet", weights=path, compile=False).count_params()


def test_a_card_says_how_far_sizes_are_off(weights, monkeypatch, capsys, tmp_path):
    errors = {"d50": {"mean": 0.01, "sd": 0.04}, "count": {"mean": 0.0, "sd": 0.1}, "images": 9}
    told = {"about": "", "command": "it", "model": "unet/tiny"}
    keep(result("sizes", "tiny", figures={"errors": errors}, **told), tmp_path / "out")
    monkeypatch.setitem(ship.SETS, "unet/tiny", ship.Set("it", lambda model, data: {}))
    ship.main(asked(["ship", "unet/tiny", "--errors", "--out", str(tmp_path / "out")]))
    assert pretrained.read_card(weights).errors == errors
    assert "'sd': 0.04" in capsys.readouterr().out
    with pytest.raises(
        ValueError, match=r"Received: --errors. First run .* sizes --weights unet/e"
    ):
        ship.vouch("unet/emps", "sizes", tmp_path / "out")


def test_several_runs_are_shipped_as_the_mean_of_their_weights(weights, monkeypatch, tmp_path):
    monkeypatch.setitem(ship.SETS, "unet/tiny", ship.Set("recipe it", lambda model, data: {}))
    models, runs = [], [tmp_path / "first", tmp_path / "longer"]
    for run in runs:
        models.append(temzoo.get_model("unet", **TINY, compile=False))
        run.mkdir()
        pretrained.save(models[-1], run / pretrained.BEST)
        pretrained.write_card(run / pretrained.BEST, pretrained.WeightsCard("unet", TINY))
    shipped = temzoo.get_model("unet", weights=ship.ship("unet/tiny", runs, tmp_path))
    for found, one, other in zip(*(m.get_weights() for m in (shipped, *models)), strict=True):
        np.testing.assert_allclose(found, (one + other) / 2, atol=2e-3)  # stored as float16


@pytest.fixture(scope="module")
def confidence_fit():
    records = json.loads((RESULTS / "instances.json").read_text(encoding="utf-8"))
    return next(one["figures"] for one in records if one["name"] == "emps-confidence")


def test_the_confidence_is_that_of_the_recorded_fit(confidence_fit):
    assert confidence_fit["weights"] == pytest.approx(confidence.WEIGHTS, abs=0.02)
    assert confidence_fit["bias"] == pytest.approx(confidence.BIAS, abs=0.02)
    said, real, objects = (
        np.array([one[key] for one in confidence_fit["held_out"]])
        for key in ("said", "real", "objects")
    )
    assert np.average(np.abs(said - real), weights=objects) < 0.02
    counted = said >= COUNTED
    chance = 1.96 * np.sqrt(said * (1 - said) / objects)  # of so few objects in a bin
    assert (np.abs(said - real) <= np.maximum(chance, 0.05))[counted].all()


@pytest.mark.xfail(reason="of 39 objects said to be 0.27, 0.10 are real; of 44 of 0.73, 0.84")
def test_the_confidence_is_within_5_points_everywhere(confidence_fit):
    held_out = confidence_fit["held_out"]
    assert all(abs(one["said"] - one["real"]) < 0.05 for one in held_out)


def test_precisions_of_other_weights_are_refused(weights):
    recorded(weights.parent / "results")
    with pytest.raises(ValueError, match=r"has no record of unet/emps. Received: --pr"):
        ship.vouch("unet/emps", "precision", weights.parent / "results")


@pytest.fixture
def trained_here(monkeypatch, tmp_path):
    """A set that trains in no time, and scores the seed that it was given."""

    def train(folder, seed=0):
        pretrained.save(temzoo.get_model("unet", **TINY, compile=False), folder / pretrained.BEST)
        pretrained.write_card(folder / pretrained.BEST, pretrained.WeightsCard("unet", TINY))
        trained.append(seed)

    trained = []
    how = ship.Set("it", lambda model, data: {"seed": trained[-1]}, ship.DRAWN, train=train)
    monkeypatch.setitem(ship.SETS, "unet/tiny", how)
    (tmp_path / "weights").mkdir()
    monkeypatch.setattr(ship, "WEIGHTS", tmp_path / "weights")
    return tmp_path / "weights"


def test_a_set_is_written_scored_and_listed(trained_here, measured):
    (trained_here / "index.json").write_text('{"weights": ["vae/particles"]}')
    assert measured("ship", "unet/tiny") == []
    card = pretrained.read_card(ship.path_of("unet/tiny"))
    assert (card.scores, card.command, card.licence) == (
        {"seed": 0},
        "python -m benchmarks it",
        "MIT",
    )
    index = json.loads((trained_here / "index.json").read_text())
    assert index == {"weights": ["unet/tiny", "vae/particles"]}


def test_another_seed_is_trained_and_scored_and_nothing_is_shipped(trained_here, measured, capsys):
    measured("ship", "unet/tiny", "--seed", "3")
    assert "unet/tiny {'seed': 3}" in capsys.readouterr().out
    assert list(trained_here.iterdir()) == []


def test_a_seed_of_what_another_command_trains_is_refused(measured):
    with pytest.raises(ValueError, match=r"--seed trains again what this command trains. Received"):
        measured("ship", "unet/emps", "--seed", "3", "--run", "runs/emps-unet")
    with pytest.raises(ValueError, match=r"--run names the finished run of a set that another com"):
        measured("ship", "unet/emps")


def test_every_set_is_trained_by_a_command_and_says_so_on_its_card():
    paths = {name: ship.path_of(name) for name in ship.SETS}
    assert {*paths.values()} == {*ship.WEIGHTS.glob("*.h5")}
    for name, path in paths.items():
        command = ship.SETS[name].command
        assert pretrained.read_card(path).command == f"python -m benchmarks {command}"
        assert asked(command.split()).command
