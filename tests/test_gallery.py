"""Each page of the gallery compiles, has a title and a place, and uses names that temzoo has."""

import ast
import re
import runpy
from pathlib import Path

import matplotlib
import pytest

import temzoo

DOCS = Path(__file__).resolve().parents[1] / "docs"
SCRIPTS = sorted((DOCS / "gallery").rglob("*.py"))
EACH = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)


def dotted(node: ast.AST) -> str:
    """ "temzoo.labels.read" of the nodes that stand for it; "" of others."""
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return before and f"{before}.{node.attr}"
    return node.id if isinstance(node, ast.Name) and node.id == "temzoo" else ""


def unknown_names(text: str) -> list[str]:
    """What is said of temzoo that it does not have."""
    tree = ast.parse(text)
    names = {dotted(node) for node in ast.walk(tree)} - {"", "temzoo"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "temzoo":
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return sorted(name for name in names if not is_there(name))


def is_there(name: str) -> bool:
    first, *rest = name.split(".")[1:]
    found = temzoo
    for part in (first, *rest):
        found = getattr(found, part, None)
    return first in temzoo.__all__ and found is not None


@EACH
def test_a_page_has_a_title_and_uses_names_of_temzoo(script):
    text = script.read_text(encoding="utf-8")
    title, line, *_ = ast.get_docstring(ast.parse(text)).splitlines()
    assert line == "=" * len(title)
    assert unknown_names(text) == []
    assert "# %%" in text


def test_a_name_that_is_not_there_is_noticed():
    planted = "import temzoo\nfrom temzoo import latnet\ntemzoo.labels.red('a.xml')\ntemzoo.predict"
    assert unknown_names(planted) == ["temzoo.labels.red", "temzoo.latnet"]


def test_pages_are_listed_and_sections_have_headers():
    conf = (DOCS / "conf.py").read_text(encoding="utf-8")
    listed = ast.literal_eval(re.search(r"^PAGES = (\(.*?^\))", conf, re.MULTILINE | re.DOTALL)[1])
    assert sorted(listed) == sorted(script.name for script in SCRIPTS)
    sections = {script.parent for script in SCRIPTS}
    assert all((section / "GALLERY_HEADER.rst").is_file() for section in sections)
    assert all(f'"gallery/{section.name}"' in conf for section in sections)


def test_a_page_runs(capsys):
    matplotlib.use("Agg")
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    runpy.run_path(str(DOCS / "gallery/lecture/plot_convolution_by_hand.py"))
    assert "Keras gives the same: True" in capsys.readouterr().out
    for number in set(pyplot.get_fignums()) - set(before):
        pyplot.close(number)
