"""The labelling loop closes: what a network found is uploaded, corrected, and trained on again."""

import keras
import pytest
from typer.testing import CliRunner

import temzoo
from temzoo import cli
from temzoo.data.synthetic.synthesize import write_dataset
from temzoo.labels import check

SCENE = {"size": 128, "n_particles": 6, "diameter_nm": (10.0, 24.0)}
BRIEF = {"epochs": 1, "batch": 4, "crop": 64, "augment": "none", "magnification": (1.0, 1.0)}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A run on labels drawn by hand, and micrographs that nobody labelled yet."""
    folder = tmp_path_factory.mktemp("loop")
    images, labels = write_dataset(folder / "labelled", n=4, seed=1, **SCENE)
    new, truth = write_dataset(folder / "new", n=4, seed=2, **SCENE)
    keras.utils.set_random_seed(0)
    model = temzoo.get_model("unet", filters=8, depth=2)
    examples = temzoo.load_dataset(images=images, labels=labels)
    temzoo.train(
        model,
        examples[:3],
        examples[3:],
        out=folder / "run",
        steps_per_epoch=50,
        learning_rate=1e-2,
        seed=0,
        **BRIEF,
    )
    return folder / "run", new, truth


def test_what_a_network_found_is_trained_on(first, tmp_path):
    run, images, truth = first
    words = ["predict", run, images, "--out", tmp_path / "found", "--format", "cvat"]
    said = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert said.exit_code == 0, said.output

    prelabels = tmp_path / "found" / "predictions.xml"
    examples = temzoo.load_dataset(images=images, labels=prelabels)
    assert [example.name for example in examples] == [f"synthetic_{k:04d}.tif" for k in range(4)]
    assert sum(len(example.labels.shapes) for example in examples) > 8
    assert check.check([e.labels for e in examples], image_folder=images).exit_status == 0

    model = temzoo.get_model("unet", weights=run)
    by_hand = temzoo.load_dataset(images=images, labels=truth)
    agreement = temzoo.evaluate(model, by_hand).iou.value
    assert agreement > 0.3  # all foreground, or none of it, gives less than 0.2
    # The labels are the network's own answer, as far as polygons hold it.
    assert temzoo.evaluate(model, examples).iou.value > 0.95

    result = temzoo.train(
        model, examples[:3], examples[3:], out=tmp_path / "second", steps_per_epoch=2, **BRIEF
    )
    assert result.epoch == 1
    again = temzoo.get_model("unet", weights=tmp_path / "second")
    assert temzoo.predict(again, images / "synthetic_0000.tif").class_names == ("particle",)
