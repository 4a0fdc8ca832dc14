import json

import pytest

import temzoo
from benchmarks import ship
from temzoo import pretrained

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
