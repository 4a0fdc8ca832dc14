"""``temzoo train --config``: options from a file, the file that repeats a run; ``--minutes``."""

import json
import tomllib

import pytest
from typer.testing import CliRunner

import temzoo
from temzoo import cli
from temzoo.data.synthetic import write_dataset
from temzoo.workflows import training


@pytest.fixture(autouse=True)
def quick(monkeypatch, eager_steps):
    monkeypatch.setattr(training, "finish", lambda run, model, data: None)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), n=3, size=64, n_particles=3)


def call(*words, status=0):
    done = CliRunner().invoke(cli.app, ["train", *map(str, words)])
    assert done.exit_code == status, done.output + repr(done.exception)
    return done.output


def settings_of(folder):
    return json.loads((folder / "run.json").read_text())["settings"]


@pytest.fixture(scope="module")
def small(data):
    """A file for a small network."""
    images, labels = data
    path = images.parent / "small.toml"
    path.write_text(
        f"model = 'unet'\nimages = '{images}'\nlabels = '{labels}'\nset = ['filters=2', "
        "'depth=1']\nepochs = 2\nsteps = 1\nbatch = 1\ncrop = 32\nval = 0.4\n"
        "learning-rate = 0.002\nmagnification = [0.9, 1.1]\n"
        "mixed_precision = false\naugment = 'none'\n"
    )
    return path


def test_options_of_the_file_hold_where_none_are_typed_and_a_run_writes_its_own(
    small, tmp_path, monkeypatch, data
):
    first, second = tmp_path / "first", tmp_path / "second"
    monkeypatch.chdir(data[0].parent)
    words = ("--images", data[0].name, "--epochs", 1)
    call("--config", small, "--out", first, *words)
    monkeypatch.chdir(tmp_path)
    told = settings_of(first)
    assert (told["epochs"], told["learning_rate"], told["crop"]) == (1, 0.002, 32)
    assert told["magnification"] == [0.9, 1.1]
    written = tomllib.loads((first / "run.toml").read_text())
    assert written["model"] == "unet"
    assert (written["images"], written["labels"]) == tuple(map(str, data))
    assert written["set"] == ["filters=2", "depth=1"]
    assert not {"out", "config", "resume"} & set(written)
    call("--config", first / "run.toml", "--out", second)
    assert settings_of(second) == told
    assert json.loads((second / "run.json").read_text())["config"]["filters"] == 2
    assert (second / "run.toml").read_text() == (first / "run.toml").read_text()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("epoch = 3", r"keys must be options.*Received: epoch. Did you mean epochs"),
        ("config = 'x'", r"keys must be options of the command. Received: config"),
        ("epochs = [3]", r"epochs must be text or a number. Received: epochs = \[3\]"),
        ("epochs = true", r"epochs must be text or a number. Received: epochs = True"),
        (
            "set = 'filters=2'",
            r"set must be a list of texts or numbers. Received: set = 'fil",
        ),
        ("balance = 'yes'", r"balance must be true or false. Received: balance = 'yes'"),
        ("epochs = ", r"small.toml: Invalid value"),
    ],
)
def test_what_is_no_option_or_of_another_kind_is_refused(tmp_path, line, message):
    (tmp_path / "small.toml").write_text(f"{line}\n")
    with pytest.raises(ValueError, match=message):
        cli.app(["train", "--config", str(tmp_path / "small.toml")], standalone_mode=False)


def test_numbers_are_checked_as_typed_ones_are(small, tmp_path):
    (tmp_path / "a.toml").write_text(small.read_text().replace("epochs = 2", "epochs = 2.5"))
    said = call("--config", tmp_path / "a.toml", "--out", tmp_path / "run", status=2)
    assert "Invalid value for '--epochs'" in said


def test_training_ends_with_the_epoch_in_which_its_minutes_end_and_goes_on_later(small, tmp_path):
    out = tmp_path / "run"
    said = call("--config", small, "--out", out, "--minutes", 1e-6, "--epochs", 3)
    assert "best validation IoU" in said
    assert "stopped after 1 of 3 epochs; the same command with --resume goes on" in said
    assert len((out / "history.csv").read_text().splitlines()) == 2
    assert "interrupted" not in said
    call("--config", out / "run.toml", "--out", out, "--resume", "--minutes", 60)
    assert len((out / "history.csv").read_text().splitlines()) == 4


def test_no_run_ends_before_an_epoch_was_judged(small, tmp_path):
    words = ("--validate-every", 2, "--epochs", 4, "--minutes", 1e-6)
    call("--config", small, "--out", tmp_path / "run", *words)
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) == 3


def test_minutes_are_above_zero(tmp_path):
    model = temzoo.get_model("unet", filters=2, depth=1)
    with pytest.raises(ValueError, match=r"minutes must be above 0. Received: minutes=0. Use 60"):
        temzoo.train(model, [], [], out=tmp_path / "run", minutes=0)
