"""The command line: one program, steps that go on and are resumed, commands that repeat."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import temzoo
from benchmarks import __main__ as suite
from benchmarks import commands, own
from benchmarks.commands import COMMANDS, UNDER_JAX, asked
from temzoo.cli import demonstrating
from temzoo.cli.common import app
from temzoo.training import run_folder
from temzoo.zoo.pretrained import available

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "words",
    [
        ["startup", "--repetitions", "1", "--quick"],
        ["accuracy", "--weights", "a b", "--compare", "c", "d", "--quick"],
        ["measure", "labels", "--with", "a b.py", "--with", "c.py"],
        ["tuning", "grid"],
        ["limits", "read-points", "read-boxes", "--data-folder", "/none"],
    ],
)
def test_a_command_is_repeated_by_the_words_that_differ_from_the_usual(words):
    command = asked(words).again()
    assert shlex.split(command)[:3] == ["python", "-m", "benchmarks"]
    again = asked(shlex.split(command)[3:])
    first = vars(asked(words))
    assert {**vars(again), "again": None} == {**first, "again": None}
    assert asked([*words, "--out", "elsewhere"]).again() == command
    own = asked(["older", "few", "--work", "here"])  # where trainings lie is everybody's own
    assert own.again() == "python -m benchmarks older few"


def test_some_words_of_a_repeated_command_may_change():
    arguments = asked(["accuracy", "--weights", "a", "--compare", "b", "--quick"])
    command = arguments.again(weights="b", compare=[])
    assert command == "python -m benchmarks accuracy --weights b --quick"


def test_every_command_is_told_of(capsys):
    with pytest.raises(SystemExit):
        suite.main(["--help"])
    told = capsys.readouterr().out
    for name in COMMANDS:
        assert f"    {name} " in told or f"    {name}\n" in told


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_how_it_measures(name, capsys):
    with pytest.raises(SystemExit):
        asked([name, "--help"])
    told = capsys.readouterr().out
    assert commands._head(COMMANDS[name][0]) in told
    if name not in UNDER_JAX:
        for measurement in getattr(suite.module_of(name), "MEASUREMENTS", ()):
            assert measurement in told


def test_help_imports_no_more_than_it_needs():
    code = (
        "import sys, benchmarks.__main__ as suite\n"
        "try:\n    suite.main(['accuracy', '--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'tensorflow', 'keras', 'numpy', 'matplotlib'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT)


def test_a_measurement_that_does_not_exist_is_refused(measured):
    with pytest.raises(ValueError, match=r"A name is one of .*, dense, all. Received: x"):
        measured("instances", "x")


def test_the_suite_runs_its_steps_and_goes_on_after_one_that_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.startup.COMMANDS", {"bare Python": ["-c", "pass"]})
    steps = "accuracy --weights no-such; startup --repetitions 1"
    monkeypatch.setattr(suite, "QUICK", steps)
    assert suite.main(["all", "--quick", "--out", str(tmp_path)]) == 1
    assert "accuracy failed: FileNotFoundError: Give a run folder" in capsys.readouterr().err
    page = (tmp_path / "README.md").read_text()
    assert "# The quick run" in page
    assert "| bare Python |" in page
    assert "`python -m benchmarks startup --repetitions 1 --quick`" in page


def test_an_environment_that_was_not_made_is_an_error(tmp_path, monkeypatch):
    words = ["peers", "--setup", "sklearn", "--out", str(tmp_path)]
    monkeypatch.setattr("benchmarks.environments.set_up", lambda _: {"sklearn": "no network"})
    with pytest.raises(SystemExit, match=r"made by pip\. Received: no sklearn"):
        suite.main(words)
    monkeypatch.setattr("benchmarks.environments.set_up", lambda _: {"sklearn": "ready"})
    assert suite.main(words) == 0


def test_all_hands_on_files_of_one_s_own(tmp_path, monkeypatch):
    mine = tmp_path / "mine.py"
    mine.write_text("", encoding="utf-8")
    monkeypatch.setenv(own.VARIABLE, "")  # is set, and with it what later tests would start
    got = []
    monkeypatch.setattr(suite, "QUICK", "startup; peers")
    monkeypatch.setattr(suite, "_step", lambda words: got.append(list(words)) or 0)
    assert suite.main(["all", "--quick", "--with", str(mine), "--out", str(tmp_path)]) == 0
    assert [words[-2:] for words in got] == [["--with", str(mine)]] * 2


@pytest.fixture
def two_steps(monkeypatch):
    """Two steps, of which the second fails until the fixture's answer says otherwise."""
    ran, fails = [], {"measure"}
    monkeypatch.setattr(suite, "QUICK", "startup; measure --x")
    monkeypatch.setattr(suite, "_step", lambda words: ran.append(words[0]) or words[0] in fails)
    return ran, fails


def test_all_resumes_with_what_was_not_done(tmp_path, two_steps, capsys):
    ran, fails = two_steps
    words = ["all", "--quick", "--out", str(tmp_path)]
    assert suite.main(words) == 1
    assert ran == ["startup", "measure"]
    fails.clear()
    assert suite.main([*words, "--resume"]) == 0
    assert ran == ["startup", "measure", "measure"]
    assert "== startup: done before" in capsys.readouterr().out
    # All is done, so that there is nothing to go on with.
    assert suite.main([*words, "--resume"]) == 0
    assert ran[3:] == ["startup", "measure"]


def test_all_without_resume_begins_anew(tmp_path, two_steps):
    ran, _ = two_steps
    words = ["all", "--quick", "--out", str(tmp_path)]
    assert [suite.main(words), suite.main(words)] == [1, 1]
    assert ran == 2 * ["startup", "measure"]


def test_a_run_is_not_resumed_on_another_machine(tmp_path, two_steps, capsys, monkeypatch):
    ran, _ = two_steps
    words = ["all", "--quick", "--out", str(tmp_path)]
    suite.main(words)
    told = {**run_folder.hardware(), "processor": "another"}
    monkeypatch.setattr("temzoo.training.run_folder.hardware", lambda: told)
    suite.main([*words, "--resume"])
    assert ran == 2 * ["startup", "measure"]
    assert "Begun anew: the run that was stopped is of other hardware" in capsys.readouterr().out


def test_all_judges_the_shipped_weights_on_their_own_data():
    steps = suite.shipped()
    for model in temzoo.list_models(task="generative"):
        assert {f"accuracy --weights {model}/{name}" for name in available(model)} <= {*steps}
    assert "precision --data emps --weights unet_mobilenet/emps-frozen" in steps
    emps, *others = [step.split() for step in steps if step.startswith("accuracy --data")]
    assert {"emps", "unet_mobilenet/emps-frozen"} <= {*emps}
    assert all("unet_mobilenet/emps-frozen" not in words for words in others)


def test_the_steps_of_all_are_command_lines():
    for quick in (True, False):
        for step in suite.planned(quick):
            assert asked(step.split()).command == step.split()[0]


def test_temzoo_benchmark_is_the_program(tmp_path):
    outcome = CliRunner().invoke(app, ["benchmark", "page", "--out", str(tmp_path)])
    assert outcome.exit_code == 0, outcome.output
    assert (tmp_path / "README.md").read_text().startswith("# Benchmarks")


def test_without_the_repository_it_says_where_the_benchmarks_are(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"in a checkout of the repository: .* Clone the"):
        demonstrating.run_suite(tmp_path, ["page"])
