import json
import sys

import pytest

import temzoo
from benchmarks import ship
from temzoo.zoo import pretrained

ROWS = [
    {"engine": "tensorflow", "precision": "float32", "iou_change": {"value": 0.0}},
    {"engine": "openvino", "precision": "bfloat16", "iou_change": {"value": -0.000123}},
]


@pytest.fixture
def record(tmp_path, monkeypatch):
    monkeypatch.setattr(ship, "WEIGHTS", tmp_path)
    path = tmp_path / f"unet-tiny{pretrained.SUFFIX}"
    model = temzoo.get_model("unet", filters=2, depth=1, compile=False)
    pretrained.save(model, path)
    pretrained.write_card(path, pretrained.WeightsCard("unet", {"filters": 2, "depth": 1}))
    told = {"what": "precision", "model": "unet/tiny", "figures": {"rows": ROWS}}
    told["command"] = "python -m benchmarks precision --weights unet/tiny"
    (tmp_path / "record.json").write_text(json.dumps(told))
    return tmp_path / "record.json"


def test_a_card_says_what_lower_precisions_cost(record):
    path = ship.vouch("unet/tiny", record)
    assert pretrained.read_card(path).precisions == {"openvino bfloat16": -0.00012}
    assert temzoo.get_model("unet", weights=path, compile=False).count_params()


def test_a_record_of_other_weights_is_refused(record):
    message = "is not what `python -m benchmarks precision --weights unet/emps` writes"
    with pytest.raises(ValueError, match=message):
        ship.vouch("unet/emps", record)


def test_a_record_of_some_images_is_refused(record):
    told = json.loads(record.read_text())
    told["command"] += " --limit 5"
    record.write_text(json.dumps(told))
    with pytest.raises(ValueError, match=r"Received: that of `.* --limit 5`"):
        ship.vouch("unet/tiny", record)


@pytest.fixture
def a_set_that_is_trained_here(monkeypatch, tmp_path):
    """Trains in no time, and scores the seed that it was given."""

    def train(folder, seed=0):
        model = temzoo.get_model("unet", filters=2, depth=1, compile=False)
        pretrained.save(model, folder / pretrained.BEST)
        card = pretrained.WeightsCard("unet", {"filters": 2, "depth": 1})
        pretrained.write_card(folder / pretrained.BEST, card)
        trained.append(seed)

    trained = []
    how = ship.Set("it", ship.DRAWN, lambda model, data: {"seed": trained[-1]}, train=train)
    monkeypatch.setattr(ship, "SETS", {"unet/tiny": how, "unet/emps": ship.SETS["unet/emps"]})
    monkeypatch.setattr(ship, "WEIGHTS", tmp_path / "weights")
    return tmp_path


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["ship", *words])
    ship.main()


def test_another_seed_is_trained_and_scored_and_nothing_is_shipped(
    a_set_that_is_trained_here, monkeypatch, capsys
):
    run(monkeypatch, "unet/tiny", "--seed", "3")
    assert capsys.readouterr().out == "unet/tiny {'seed': 3}\n"
    assert not (a_set_that_is_trained_here / "weights").exists()


def test_a_seed_of_what_another_command_trains_is_refused(
    a_set_that_is_trained_here, monkeypatch, capsys
):
    with pytest.raises(SystemExit):
        run(monkeypatch, "unet/emps", "--seed", "3", "--run", "runs/emps-unet")
    assert "--seed trains again what this command trains" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(monkeypatch, "unet/emps", "--seed", "3")
    assert "--run names the finished run" in capsys.readouterr().err
