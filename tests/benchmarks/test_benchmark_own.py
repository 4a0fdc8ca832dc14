"""A file of the user's own: what it registers can be named, here and in processes started."""

import os
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import __main__ as suite
from benchmarks import datasets, own, recipes

MINE = """
import numpy as np
import temzoo
from benchmarks.datasets import Dataset, dataset, synthetic
from benchmarks.recipes import contestant

@dataset("my micrographs")
def ours(folder):
    drawn = synthetic(train=1, val=2, size=64)
    return Dataset("my micrographs", drawn.train, drawn.val, "seeds")

@contestant("my threshold")
def bright(learn):
    def network(batch):
        lit = (batch > batch.mean()).astype("float32")
        return np.concatenate([1 - lit, lit], axis=-1)
    return network
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    path = tmp_path / "mine.py"
    path.write_text(MINE, encoding="utf-8")
    monkeypatch.setenv(own.VARIABLE, "")
    yield path
    datasets.DATASETS.pop("my micrographs", None)
    recipes.CONTESTANTS.pop("my threshold", None)
    sys.modules.pop("temzoo_with_mine", None)


def test_its_dataset_and_contestant_can_be_named(mine, tmp_path, capsys):
    words = ["--data", "my micrographs", "--weights", "my threshold", "--out", str(tmp_path)]
    assert suite.main(["accuracy", "--with", str(mine), *words]) == 0
    assert "| my micrographs, 2 | my threshold | 0." in capsys.readouterr().out
    page = (tmp_path / "README.md").read_text()
    assert "| my micrographs, 2 | my threshold |" in page
    named = "--weights 'my threshold' --data 'my micrographs'"
    assert f"`python -m benchmarks accuracy {named} --with {mine}`" in page


def test_it_is_run_once(mine):
    own.load([mine])
    first = datasets.DATASETS["my micrographs"]
    own.load([mine])
    assert datasets.DATASETS["my micrographs"] is first
    assert os.environ[own.VARIABLE] == str(mine)


def test_processes_that_are_started_run_it_too(mine):
    own.load([mine])
    code = (
        "from benchmarks import own; own.load_inherited();"
        " from benchmarks.recipes import CONTESTANTS as c; print(*c, sep=',')"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "otsu,forest,my threshold"


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"--with takes a Python file .* Received: .*no\.py"
    ):
        own.load([tmp_path / "no.py"])


def test_what_is_generated_has_a_fingerprint_of_its_content():
    pixels = np.arange(6, dtype=np.uint8)
    told = datasets.generated("drawn", pixels, seed=3)
    assert told == datasets.generated("drawn", pixels.tobytes(), seed=3)
    assert told["fingerprint"] != datasets.generated("drawn", pixels + 1, seed=3)["fingerprint"]
    assert {"name": "drawn", "seed": 3}.items() <= told.items()
    assert told["split"]
