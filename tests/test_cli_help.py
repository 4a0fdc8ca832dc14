"""``--help`` of every command at 80 columns, errors of options, and the name of the command."""

import json
import re
import runpy
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from temzoo import cli
from temzoo.data.synthetic import write_dataset


def commands(command=None, words=()):
    command = command or typer.main.get_command(cli.app)
    yield words, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*words, name))


ALL = {" ".join(words): command for words, command in commands() if words != ("benchmark",)}


def shown(*words, status=0):
    wide = {"COLUMNS": "80", "TERMINAL_WIDTH": "80"}
    done = CliRunner().invoke(cli.app, list(words), env=wide, prog_name="temzoo")
    assert done.exit_code == status, done.output
    return re.sub(r"\x1b\[[\d;]*m", "", done.output)


@pytest.mark.parametrize("words", ALL)
def test_help_has_all_names_whole_and_a_text_for_each(words):
    page = shown(*words.split(), "--help")
    rows = [line.strip("│ ") for line in page.splitlines() if line.startswith("│")]
    assert max(map(len, page.splitlines())) <= 80
    assert not re.search(r"<\w|list\[|\w…", page)  # types of Python; words that were cut
    for option in ALL[words].params:
        if option.param_type_name == "option" and not option.hidden:
            assert option.help, option.name
            assert any(re.match(rf"\W*{option.opts[0]}\s", row) for row in rows), option.name


def test_paragraphs_of_help_are_wrapped_once():
    page = shown("quickstart", "--help")
    assert "Writes the overlay, the table of particles, the plot of sizes, and" in page
    assert " report.html, a page that shows all of it." in page


def test_a_switch_says_how_to_turn_it_off():
    page = " ".join(shown("predict", "--help").replace("│", " ").split())
    assert "On by default; off by --no-crop-bar." in page
    assert "4 times slower. Off by default, and by --no-flips." in page


@pytest.mark.parametrize("end", [(), ("--out", "run")])
def test_an_option_of_two_words_says_which(end):
    page = shown("train", "unet", "--images", ".", "--magnification", "0.5,1.0", *end, status=2)
    said = " ".join(page.replace("│", " ").split())
    assert re.search(r"'--magnification'.*Type 2 words, such as --magnification 0.7 1.0", said)


def test_the_module_shows_the_command_that_is_installed():
    words = [sys.executable, "-m", "temzoo", "info", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "Usage: temzoo info [OPTIONS]" in done.stdout


def test_a_run_of_the_module_is_recorded_as_the_command(tmp_path, monkeypatch, eager_steps):
    images, labels = write_dataset(tmp_path, n=2, size=64, n_particles=2)
    run = tmp_path / "run"
    train = ["train", "unet", "--images", str(images), "--labels", str(labels), "--out", str(run)]
    small = "--set filters=2 --set depth=1 --epochs 1 --steps 1 --batch 1 --crop 32 --val 0.5"
    for words in ([*train, *small.split()], ["report", str(run)]):
        monkeypatch.setattr(sys, "argv", ["/a/temzoo/__main__.py", *words])
        with pytest.raises(SystemExit) as ended:
            runpy.run_module("temzoo", run_name="__main__")
        assert ended.value.code == 0
    told = json.loads((run / "run.json").read_text())
    assert told["command"].startswith("temzoo train unet --images ")
    page = (run / "report.html").read_text()
    assert "temzoo train unet" in page
    assert ": temzoo report run" in page  # of the file, without its folders
    assert "__main__" not in page
