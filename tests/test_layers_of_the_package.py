"""Imports point down: the table says which rooms a room may import, and nothing gets round it."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "temzoo"
# Room -> the rooms that it may import. CONTRIBUTING's table is made of it.
ROOMS = {
    "core": "",
    "micrographs": "core",
    "labels": "core micrographs",
    "measurement": "core micrographs",
    "data": "core micrographs labels",
    "zoo": "core",
    "models": "core zoo",
    "inference": "core micrographs zoo",
    "evaluation": "core micrographs labels data zoo inference",
    "latent": "",
    "pictures": "core micrographs data measurement inference evaluation latent",
    "tasks": "core labels data zoo inference evaluation pictures",
    "store": "core micrographs labels zoo inference pictures",
    "particles": "core micrographs labels measurement data evaluation",
    "annotation": "core labels zoo inference evaluation pictures",
    "training": "core models zoo tasks",
    "deploy": "core micrographs models zoo tasks inference evaluation",
    "pages": "core micrographs labels measurement data zoo inference evaluation latent pictures"
    " store",
    "workflows": "core micrographs labels measurement data models zoo tasks inference evaluation"
    " latent pictures store particles annotation pages training",
    "cli": "core micrographs labels measurement data zoo tasks inference evaluation pictures"
    " particles annotation deploy pages workflows",
    "viewer": "core micrographs labels measurement data zoo tasks inference store annotation"
    " training workflows",
}
ROOMS = {room: frozenset(allowed.split()) for room, allowed in ROOMS.items()}
# The one place that loads modules by name: models and tasks, which are plug-ins.
LOADERS = ("zoo/building.py", "zoo/task.py", "labels/__init__.py", "__init__.py")
MOST_FLOORS = 12
MOST_LINES = {"models/mask_rcnn.py": 600}
USUAL_LINES = 400
NO_TENSORFLOW = (
    "core.types",
    "core.files",
    "data.synthetic",
    "evaluation.objects",
    "labels",
    "measurement",
    "micrographs",
    "store",
)
CONTRIBUTING = PACKAGE.parent / "CONTRIBUTING.md"
TABLE_STARTS, TABLE_ENDS = "<!-- rooms:", "<!-- end of rooms -->"
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """The folder of ``temzoo`` that a file lies in; "" for files beside ``__init__.py``."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def violations(source: str, room: str, *, loader: bool = False) -> list[str]:
    """What a file of a room imports that it may not, in words; [] where all is well."""
    found = []
    for node in ast.walk(ast.parse(source)):
        for target in _targets(node):
            if target == "benchmarks":
                found.append(f"line {node.lineno}: benchmarks is no part of the package")
            elif target != room and target not in ROOMS[room]:
                found.append(f"line {node.lineno}: {room} may not import {target}")
        if isinstance(node, ast.ImportFrom) and node.level:
            found.append(f"line {node.lineno}: a relative import hides its target")
        if not loader and _loads_by_name(node):
            found.append(f"line {node.lineno}: a module loaded by name hides its target")
    return found


def _targets(node: ast.AST) -> list[str]:
    """Rooms, or "benchmarks", that a node imports or reaches through ``temzoo``."""
    names = []
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    elif isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "temzoo":
        names = [f"temzoo.{node.attr}"]
    found = []
    for name in names:
        first, _, rest = name.partition(".")
        if first == "benchmarks":
            found.append("benchmarks")
        elif first == "temzoo" and rest:
            found += _home_of(rest.split(".")[0])
    return found


def _home_of(name: str) -> list[str]:
    """The room of a name of ``temzoo``; [] for what has none, such as ``__version__``."""
    import temzoo

    if name in ROOMS:
        return [name]
    homes = {**temzoo._HOMES, **temzoo._MODULES}
    return [homes[name].split(".")[0]] if name in homes else []


def _loads_by_name(node: ast.AST) -> bool:
    """Whether a call loads a module whose name may be one of temzoo's, or is not written out."""
    if not isinstance(node, ast.Call) or not node.args:
        return False
    called = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if called not in ("import_module", "__import__", "run_module"):
        return False
    name = node.args[0]
    first = name.values[0] if isinstance(name, ast.JoinedStr) else name
    package = str(getattr(first, "value", "")).partition(".")[0]
    return not isinstance(first, ast.Constant) or package in ("", "temzoo", "benchmarks")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path):
    relative = path.relative_to(PACKAGE).as_posix()
    room = room_of(path)
    if not room:
        assert relative in ("__init__.py", "__main__.py"), "no loose module at the top"
        return
    assert room in ROOMS, f"{room} is no room: give it a line in this table"
    assert violations(path.read_text(encoding="utf-8"), room, loader=relative in LOADERS) == []


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        ("from temzoo.training.train import train", "data may not import training"),
        ("import temzoo.cli.common", "data may not import cli"),
        ("def f():\n    from temzoo.models import unet", "line 2: data may not import models"),
        ("from ..training import train", "a relative import hides its target"),
        ("from . import crops", "a relative import hides its target"),
        ("import importlib\nimportlib.import_module('temzoo.cli')", "a module loaded by name"),
        ("from importlib import import_module\nimport_module(name)", "a module loaded by name"),
        ("import importlib\nimportlib.import_module(f'temzoo.{x}')", "a module loaded by name"),
        ("import runpy\nrunpy.run_module('benchmarks')", "a module loaded by name"),
        ("__import__('temzoo.cli')", "a module loaded by name"),
        ("import temzoo\ntemzoo.predict(1, 2)", "line 2: data may not import inference"),
        ("import temzoo\ntemzoo.pages.report", "line 2: data may not import pages"),
        ("from temzoo import get_model", "data may not import zoo"),
        ("from benchmarks.records import stamp", "benchmarks is no part of the package"),
        ("def f():\n    import benchmarks", "line 2: benchmarks is no part of the package"),
    ],
)
def test_a_planted_violation_is_noticed(planted, said):
    assert any(said in one for one in violations(planted, "data"))


def test_what_points_down_is_allowed():
    fine = "import numpy\nfrom temzoo.core.types import Example\nimport temzoo\ntemzoo.__version__"
    assert violations(fine, "data") == []
    assert violations("from temzoo.data.crop_plan import windows", "data") == []
    assert violations("import importlib\nimportlib.import_module(f'rsciio.{kind}')", "data") == []


def test_rooms_have_no_cycle_and_few_floors():
    floors = {}

    def floor(room: str, above: tuple[str, ...] = ()) -> int:
        assert room not in above, f"rooms import each other: {' -> '.join((*above, room))}"
        if room not in floors:
            below = [floor(other, (*above, room)) for other in ROOMS[room]]
            floors[room] = 1 + max(below, default=0)
        return floors[room]

    assert max(floor(room) for room in ROOMS) <= MOST_FLOORS


def test_every_line_of_the_table_is_used():
    """A room that no longer imports another loses the right to."""
    used = {room: set() for room in ROOMS}
    for path in FILES:
        if room_of(path):
            tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            used[room_of(path)] |= {target for node in tree for target in _targets(node)}
    unused = {room: sorted(ROOMS[room] - used[room]) for room in ROOMS if ROOMS[room] - used[room]}
    assert unused == {}


def room_table() -> str:
    """The table of rooms in Markdown, with what each room's ``__init__.py`` says that it holds."""
    rows = ["| room | holds | may import |", "|---|---|---|"]
    for room, allowed in ROOMS.items():
        tree = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
        about = (ast.get_docstring(tree) or "").splitlines()[0].rstrip(".").replace("``", "`")
        rows.append(f"| `{room}/` | {about} | {', '.join(r for r in ROOMS if r in allowed)} |")
    return "\n".join(rows)


def with_table(text: str) -> str:
    """A page with the table of rooms between its two marks."""
    head, _, rest = text.partition(TABLE_STARTS)
    mark, _, rest = rest.partition("\n")
    return (
        f"{head}{TABLE_STARTS}{mark}\n{room_table()}\n{TABLE_ENDS}{rest.partition(TABLE_ENDS)[2]}"
    )


def test_contributing_has_the_table():
    text = CONTRIBUTING.read_text(encoding="utf-8")
    assert text == with_table(text), "python tests/test_layers_of_the_package.py writes it anew"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_are_short_enough_to_be_read(path):
    most = MOST_LINES.get(path.relative_to(PACKAGE).as_posix(), USUAL_LINES)
    assert len(path.read_text(encoding="utf-8").splitlines()) <= most


def in_fresh_process(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=PACKAGE.parent,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


ABSENT = "import sys; print(sorted({'tensorflow', 'keras', 'imgaug'} & set(sys.modules)))"


@pytest.mark.parametrize(
    "code",
    [
        "import temzoo",
        "import temzoo; temzoo.list_models(); temzoo.model_card('unet')",
        "import temzoo; temzoo.labels.cvat, temzoo.labels.read",
        "\n".join(f"import temzoo.{name}" for name in NO_TENSORFLOW),
    ],
)
def test_tensorflow_and_keras_are_absent_after(code):
    assert in_fresh_process(f"{code}\n{ABSENT}").strip() == "[]"


@pytest.mark.parametrize("arguments", [["--help"], ["models"], ["labels", "--help"]])
def test_the_command_line_does_without_tensorflow(arguments):
    code = (
        f"import sys; sys.argv = ['temzoo', *{arguments!r}]\n"
        "from temzoo.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        f"{ABSENT}\nprint('numpy' in sys.modules)"
    )
    said = in_fresh_process(code).strip().splitlines()
    assert said[-2:] == ["[]", "False"]  # without NumPy either, it starts at once


def test_only_augment_touches_imgaug():
    users = [p.name for p in FILES if "import imgaug" in p.read_text(encoding="utf-8")]
    assert users == ["augment_imgaug.py"]


def architectures_named(source: str, names: list[str]) -> list[str]:
    """Where code tells architectures apart by name: comparisons, and cases of ``match``."""
    nodes = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Compare | ast.MatchValue | ast.Dict | ast.Subscript)
    ]
    return [
        f"line {constant.lineno}: {constant.value}"
        for node in nodes
        for constant in ast.walk(node)
        if isinstance(constant, ast.Constant) and constant.value in names
    ]


def test_no_architecture_is_named_outside_models():
    """The demo and the lecture choose models by name; nothing else does.

    The model "particles" has the name of a room and a command, and "yolo" that of a format of
    labels, which are named everywhere.
    """
    import temzoo

    formats = {path.stem for path in (PACKAGE / "labels" / "formats").glob("*.py")}
    names = [name for name in temzoo.list_models() if name not in {*ROOMS, *formats}]
    for path in FILES:
        if room_of(path) not in ("models", "workflows"):
            source = path.read_text(encoding="utf-8")
            assert architectures_named(source, names) == [], path


@pytest.mark.parametrize(
    "planted",
    [
        'if how.name == "unet": pass',
        'found = name in ("unet", "mask_rcnn")',
        'match name:\n    case "mask_rcnn": pass',
        'sizes = {"unet_mobilenet": 32}[name]',
    ],
)
def test_an_architecture_that_is_named_is_noticed(planted):
    import temzoo

    assert len(architectures_named(planted, temzoo.list_models())) >= 1


def test_what_a_model_is_is_asked_in_tasks_and_models_alone():
    """No attribute of a model is looked for elsewhere: its Task says what it can do."""
    asked = re.compile(r"\b(?:hasattr|getattr)\(\s*model\b")
    rooms = {"tasks", "models"}
    found = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if path.relative_to(PACKAGE).parts[0] not in rooms and asked.search(path.read_text("utf-8"))
    ]
    assert found == []


if __name__ == "__main__":
    page = with_table(CONTRIBUTING.read_text(encoding="utf-8"))
    CONTRIBUTING.write_text(page, encoding="utf-8")
