"""What temzoo is installed from: the lock file and the conda recipe follow setup.cfg."""

import configparser
import re
from itertools import pairwise
from pathlib import Path

import yaml
from packaging.requirements import Requirement

import temzoo

ROOT = Path(__file__).parents[1]
LOCKED = re.compile(r"^([\w.-]+)==([\w.]+)(.*)\\$", re.M)
CONDA_NAMES = {"opencv-python": "py-opencv", "matplotlib": "matplotlib-base"}


def required() -> list[Requirement]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["install_requires"].splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def test_lock_holds_a_version_of_everything_that_setup_cfg_admits():
    text = (ROOT / ".ci/requirements.lock").read_text()
    locked = {name: version for name, version, _ in LOCKED.findall(text)}
    assert len(required()) > 20
    for needed in required():
        assert needed.specifier.contains(locked[needed.name]), f"{needed}: type `make lock`"


def test_lock_has_a_hash_of_every_version():
    entries = (ROOT / ".ci/requirements.lock").read_text().split("\n")
    for entry, following in pairwise(entries):
        if "==" in entry:
            assert following.strip().startswith("--hash=sha256:"), entry


def test_conda_recipe_asks_for_what_setup_cfg_asks_for():
    recipe = yaml.safe_load((ROOT / ".ci/conda/recipe.yaml").read_text())
    asked = {}
    for line in recipe["requirements"]["run"][1:]:
        name, _, versions = line.partition(" ")
        asked[name] = Requirement(f"x{versions}").specifier
    assert asked == {CONDA_NAMES.get(r.name, r.name): r.specifier for r in required()}
    assert recipe["context"]["version"] == temzoo.__version__
