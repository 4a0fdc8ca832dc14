"""What README and docs tell to type exists, and what they link to is there."""

import ast
import re
import shlex
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest
import typer

import temzoo
import temzoo.cli

ROOT = Path(__file__).resolve().parents[1]
GENERATED = {ROOT / "docs/reference" / name for name in ("api", "cli")}
README_BYTES = 8000
LINK = re.compile(r"\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^(\|.*\|) `python -m benchmarks[^`]*` \|$")
CODE_SPAN = re.compile(r"`([^`]+)`")


def pages() -> list[Path]:
    written = [
        path
        for path in sorted((ROOT / "docs").rglob("*.md"))
        if "_build" not in path.parts and not GENERATED & set(path.parents)
    ]
    return [ROOT / "README.md", ROOT / "SECURITY.md", *written]


PAGES = pytest.mark.parametrize("page", pages(), ids=lambda path: str(path.relative_to(ROOT)))


def blocks(text: str, language: str) -> list[str]:
    return [body for kind, body in BLOCK.findall(text) if kind == language]


def shell_lines(text: str) -> list[str]:
    """The lines of shell blocks, continued ones joined."""
    joined = "\n".join(blocks(text, "shell")).replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip()]


def inline(text: str, start: str) -> list[str]:
    """The code within lines that begins with the words."""
    prose = " ".join(BLOCK.sub("", text).split())
    return [code for code in CODE_SPAN.findall(prose) if code.startswith(start)]


def words_of(line: str) -> list[str]:
    """A command's words without its comment and the settings of the environment before it."""
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words.pop(0)
    return words


@cache
def temzoo_command():
    return typer.main.get_command(temzoo.cli.app)


def command_of(words: list[str]):
    """The command that the words name and the words that are left."""
    command = temzoo_command()
    while words and getattr(command, "commands", None):
        assert words[0] in command.commands, f"temzoo has no command {words[0]!r}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


def check_temzoo(words: list[str]) -> None:
    command, rest = command_of(words)
    known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)} | {"--help"}
    if command.name == "benchmark":  # its options are the suite's
        return
    for word in rest:
        if word.startswith("--"):
            assert word.partition("=")[0] in known, f"temzoo {command.name} has no {word}"


def check(words: list[str]) -> None:
    if words[0] == "temzoo":
        check_temzoo(words[1:])
    elif words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        for target in words[1:]:
            assert "=" in target or re.search(rf"^{target}:", makefile, re.MULTILINE), target
    elif words[:3] == ["python", "-m", "benchmarks"]:
        pass  # test_commands_of_the_benchmarks_parse
    elif words[0] == "srun":
        check_temzoo(words[words.index("temzoo") + 1 :])
    elif words[0] == "python" and words[1].startswith("docs/"):
        assert (ROOT / words[1]).is_file(), words[1]
    elif words[0] in {"sphinx_gallery_py2jupyter", "jupyter"}:  # a notebook of a script
        assert (ROOT / words[-1]).with_suffix(".py").is_file(), words[-1]
    else:  # what others' programs take is not ours to know
        assert words[0] in {"pip", "docker", "cvat-cli", "python", "ray", "sbatch"}, words[0]
        assert "-m" not in words[:2], words


GENERATED = ("api", "cli")  # folders of docs/reference that `make docs` writes


def test_readme_is_short():
    assert len((ROOT / "README.md").read_bytes()) <= README_BYTES


def test_readme_says_how_to_run_the_tests():
    lines = shell_lines((ROOT / "README.md").read_text(encoding="utf-8"))
    assert ["make", "test"] in map(words_of, lines)


@PAGES
def test_links_lead_to_files(page):
    targets = LINK.findall(BLOCK.sub("", page.read_text(encoding="utf-8")))
    local = [t.partition("#")[0] for t in targets if not re.match(r"\w+:|#", t)]
    local = [t for t in local if (page.parent / t).parts[-2] not in GENERATED]
    assert [t for t in local if not (page.parent / unquote(t)).exists()] == []


@PAGES
def test_python_compiles_and_uses_public_names(page):
    for body in blocks(page.read_text(encoding="utf-8"), "python"):
        tree = ast.parse(body)
        used = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "temzoo"
        }
        assert used - set(temzoo.__all__) == set()
        assert "temzoo" not in body or re.search(r"^import temzoo$", body, re.MULTILINE)


def commands_of(page: Path) -> list[list[str]]:
    text = page.read_text(encoding="utf-8")
    commands = [words_of(line) for line in shell_lines(text)]
    for start in ("temzoo ", "python -m benchmarks", "make "):
        commands += [words_of(code) for code in inline(text, start)]
        # A line of a script may be a comment alone; COMMAND stands for any.
    return [words for words in commands if words and "COMMAND" not in words]


@PAGES
def test_commands_exist(page):
    for words in commands_of(page):
        check(words)


@PAGES
def test_commands_of_the_benchmarks_parse(page, capsys):
    commands = pytest.importorskip("benchmarks.commands")
    for words in commands_of(page):
        if words[:3] == ["python", "-m", "benchmarks"] and words[3:] != ["--help"]:
            try:
                commands.asked(words[3:])
            except SystemExit:
                pytest.fail(f"{shlex.join(words)}: {capsys.readouterr().err}")


@PAGES
def test_figures_with_a_command_are_the_measured_ones(page):
    """A row of a table that ends in its command stands in the results with the same figures."""
    measured = {
        ROW.sub(r"\1", line)
        for path in (ROOT / "benchmarks/results").glob("*.md")
        for line in path.read_text(encoding="utf-8").splitlines()
    }
    rows = [row[1] for row in map(ROW.match, page.read_text(encoding="utf-8").splitlines()) if row]
    assert [row for row in rows if row not in measured] == []


def test_a_command_that_does_not_exist_is_noticed():
    with pytest.raises(AssertionError, match="no command 'predcit'"):
        check(["temzoo", "predcit", "a.tif"])
    with pytest.raises(AssertionError, match="has no --fast"):
        check(["temzoo", "predict", "--fast", "a.tif"])


def test_citation_is_of_this_version():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", text, re.MULTILINE)[1] == temzoo.__version__
