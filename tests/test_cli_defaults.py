"""A default is stated once: commands show and pass on those of the Python functions."""

import dataclasses
import inspect
import subprocess
import sys

import pytest
import typer

import temzoo
from temzoo.annotation import cvat_function
from temzoo.cli import app
from temzoo.core.settings import Settings

COMMANDS = typer.main.get_command(app).commands
# What a command calls by another name, or decides by its own arguments.
OTHER_NAMES = {"balance": "class_weights", "steps": "steps_per_epoch"}
OF_COMMANDS = {"resume", "progress", "out"}


def options(command: str) -> dict:
    return {parameter.name: parameter.default for parameter in COMMANDS[command].params}


def defaults(function) -> dict:
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def plain(value):
    """As typer has it: no tuple but a list, and nothing for None."""
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize(
    ("command", "function"),
    [
        ("predict", temzoo.predict),
        ("predict", temzoo.predict_folder),
        ("evaluate", temzoo.predict),
        ("restore", temzoo.restore),
        ("label-next", temzoo.label_next),
        ("export", temzoo.export),
    ],
    ids=lambda one: one if isinstance(one, str) else one.__name__,
)
def test_a_command_has_the_defaults_of_its_function(command, function):
    shown, own = options(command), defaults(function)
    shared = (shown.keys() & own.keys()) - OF_COMMANDS
    assert shared
    assert {k: plain(shown[k]) for k in shared} == {k: plain(own[k]) for k in shared}


def test_every_setting_of_training_has_an_option_with_its_default():
    shown = options("train")
    for old, name in OTHER_NAMES.items():
        shown[name] = shown.pop(old) or None
    for field in dataclasses.fields(Settings):
        assert plain(shown[field.name]) == plain(field.default), field.name


def test_the_cvat_function_tells_objects_apart_as_predict_does():
    own, shared = defaults(temzoo.predict), ("instances", "min_area_px", "flips")
    assert {k: defaults(cvat_function.create)[k] for k in shared} == {k: own[k] for k in shared}


@pytest.mark.parametrize(
    "command",
    [
        ("train", "unet", "--images", "a", "--out", "b"),
        ("tune", "unet", "--images", "a", "--out", "b"),
        ("predict", "unet/emps", "a", "--out", "b"),
    ],
)
def test_a_keyword_that_the_model_does_not_have_is_refused_without_tensorflow(command):
    program = "import sys\nfrom temzoo import cli\ntry: cli.main()\nfinally: "
    program += "print('tensorflow' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program, *command, "--set", "filtres=8"],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "False\n"
    assert '"unet" has no keyword "filtres". Did you mean filters?' in done.stderr
