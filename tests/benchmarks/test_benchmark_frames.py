"""What noise and large frames cost: rows of a tiny network, and what cards say has a record."""

import numpy as np
import pytest

import temzoo
from benchmarks import frames
from benchmarks.datasets import synthetic
from benchmarks.records import kept
from temzoo.core.types import Micrograph, Prediction
from temzoo.zoo.cards import model_card


@pytest.fixture(scope="module")
def drawn():
    return synthetic(train=1, val=2, size=64).val


@pytest.fixture(scope="module")
def model():
    return temzoo.get_model("unet", filters=2, depth=1, compile=False)


def test_noise_is_added_found_and_smoothed(model, drawn):
    (clean, _), (off, auto) = (frames.of_noise(model, drawn, added) for added in (0, 2.0))
    assert clean["noise"] < off["noise"] == auto["noise"]
    assert off["smoothed"] == auto["smoothed"] == 0  # no card says what an untrained one bears
    assert {"iou", "instance_f1", "panoptic_quality"} <= auto.keys()
    first = drawn[0].micrograph
    assert frames.noisier(first, 2.0, 0).pixels.std() > 2 * first.pixels.std()


def test_micrographs_are_enlarged_and_what_is_found_is_taken_back(model, drawn):
    whole, auto = frames.of_size(model, drawn, 2)
    assert (whole["binning"], auto["binning"]) == ("1", "auto")
    assert whole["seen"] == auto["seen"] == "2 at 1"  # no card says what an untrained one knows
    assert whole["iou"] == auto["iou"]
    first = Micrograph(np.arange(64, dtype=np.float32).reshape(8, 8))
    assert frames.enlarged(first, 1, 0) is first
    found = Prediction(*(frames.enlarged(first, 4, 0).pixels for _ in range(2)))
    assert frames.taken_back(found, 4).classes == pytest.approx(first.pixels, abs=15)


SAYING = [
    (what, f"{model}/{name}")
    for model in temzoo.list_models()
    for name, card in model_card(model).weights.items()
    for what, said in (("noise", card.noise), ("large", card.side))
    if said is not None
]


@pytest.mark.parametrize(("what", "weights"), SAYING)
def test_it_helps_the_weights_whose_card_asks_for_it(what, weights):
    records = [r for r in kept() if (r["what"], r["model"]) == (what, weights)]
    (record,) = (r for r in records if r["dataset"]["name"] != "synthetic")  # of its own pictures
    f1 = [row["instance_f1"]["value"] for row in record["figures"]["rows"]]
    gains = [helped - plain for plain, helped in zip(f1[::2], f1[1::2], strict=True)]
    assert min(gains) > -0.002
    assert gains[-1] > 0.1
    if what == "large":  # as good as in the published size
        assert min(f1[1::2]) > max(f1) - 0.03
