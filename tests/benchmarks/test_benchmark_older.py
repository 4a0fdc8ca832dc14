"""What an older commit is compared by: its package, drawn micrographs, processes in turns."""

import json

import numpy as np
import pytest

import temzoo
from benchmarks import older
from temzoo.data.synthetic.synthesize import synthesize


def test_micrographs_of_all_formats_are_read_as_they_were_drawn(tmp_path):
    older.draw(tmp_path / "drawn", sides=(48, 64, 80))
    paths = sorted((tmp_path / "drawn").iterdir())
    assert [path.name for path in paths] == ["000.tif", "001.png", "002.mrc"]
    for seed, (path, side) in enumerate(zip(paths, (48, 64, 80), strict=True)):
        count = side * side // older.AREA_PER_PARTICLE
        drawn, _ = synthesize(seed, size=side, n_particles=count)
        np.testing.assert_array_equal(temzoo.load_micrograph(path).pixels, drawn.pixels)


def test_a_commit_that_git_does_not_know_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"--commit names one of this repository. Received: nope"):
        older.older("nope", tmp_path)


def test_the_first_turn_does_not_count():
    seconds = {"a": iter([9.0, 2.0, 4.0]), "b": iter([9.0, 1.0, 1.0])}
    runs = {name: lambda each=each: {"s": next(each)} for name, each in seconds.items()}
    found = older.in_turns(runs, 2)
    told = older.with_rates(found, images=8)
    assert told["a"]["s"]["median"] == 3.0
    assert told["a"]["images_per_s"] == {"median": 3.0, "least": 2.0, "most": 4.0, "repetitions": 2}


def test_a_training_ends_at_the_goal_and_a_finished_one_is_not_repeated(tmp_path):
    """A package whose ``temzoo train`` validates its second epoch, and would go on for ever."""
    package = tmp_path / "code" / "temzoo"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "cli.py").write_text(
        "import pathlib, sys, time\n"
        "def main():\n"
        "    run = pathlib.Path(sys.argv[sys.argv.index('--out') + 1])\n"
        "    run.mkdir()\n"
        "    (run / 'history.csv').write_text('epoch,loss\\n1,0.5\\n')\n"
        "    time.sleep(1)\n"
        "    (run / 'history.csv').write_text('epoch,val_iou\\n1,\\n2,0.9\\n')\n"
        "    time.sleep(60)\n"
    )
    run, words = tmp_path / "runs" / "now-0", ["tiny"]
    how = package.parent, words, tmp_path, run
    (epoch,) = older.learnt(*how, 0.8)
    assert epoch["iou"] == 0.9
    assert older._reached([epoch]).keys() == {"minutes", "cpu_minutes"}
    assert json.loads(run.with_suffix(".json").read_text())["words"] == words
    (package / "cli.py").unlink()
    assert older.learnt(*how, 0.8) == [epoch]


def test_a_training_short_of_the_goal_is_told():
    with pytest.raises(RuntimeError, match=r"must reach an IoU of 0.8. Received: .*0.7"):
        older._reached([{"iou": 0.7, "minutes": 1.0, "cpu_minutes": 2.0}])


def test_only_epochs_in_time_count():
    epochs = [{"iou": iou, "cpu_minutes": m} for iou, m in ((0.5, 2), (0.6, 6), (0.7, 7))]
    assert older._best(epochs, older.NOW) == {"iou": 0.6}
    assert older._best(epochs, older.BEFORE) == {"iou": 0.7}


def test_a_demo_is_timed_until_its_first_picture(tmp_path):
    makefile = tmp_path / "Makefile"
    makefile.write_text(
        "demo:\n\tmkdir .venv demo && printf 12345 > .venv/.set-up\n"
        "\tsleep 0.5 && touch demo/first.png && sleep 60\n"
    )
    found = older._demo(tmp_path)
    assert found["bytes"] == 5
    assert found["to_picture_s"] > 0
    makefile.write_text("demo:\n\ttrue\n")
    for name in (".venv/.set-up", "demo/first.png"):
        (tmp_path / name).unlink()
    with pytest.raises(RuntimeError, match=r"make demo must show a picture. Received: its end"):
        older._demo(tmp_path)
