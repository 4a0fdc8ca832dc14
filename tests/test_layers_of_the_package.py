"""Arrows point down: a file imports from lower layers, or from its own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "temzoo"
LAYERS = {
    "types": 0,
    "files": 0,
    "markup": 0,
    "round_numbers": 0,
    "settings": 0,
    "pretrained": 1,
    "registry": 2,
    "micrographs": 1,
    "labels": 2,
    "measurement": 2,
    "synthetic": 3,
    "pipeline": 3,
    "models": 3,
    "tasks": 3,
    "inputs": 3,
    "detection": 4,
    "instance_scores": 4,
    "prediction": 5,
    "evaluation": 6,
    "saved": 6,
    "serving": 6,
    "classical": 7,
    "report": 7,
    "prelabels": 7,
    "labelling_order": 8,
    "instance_tuning": 7,
    "likeness": 7,
    "particles": 7,
    "pages": 8,
    "restoration": 8,
    "latent": 8,
    "feeds": 9,
    "training": 10,
    "tuning": 11,
    "demo": 11,
    "lecture": 11,
    "exporting": 11,
    "integrations": 11,
    "engines": 12,
    "cli": 13,
}
NO_TENSORFLOW = (
    "labels",
    "types",
    "files",
    "measurement",
    "micrographs",
    "synthetic",
    "instance_scores",
)


def unit(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> list[str]:
    """Units of temzoo that a file imports, at its top or inside functions."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{a.name}" for a in node.names]
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        else:
            continue
        found += [n.split(".")[1] for n in names if n.startswith("temzoo.")]
    return found


def pointing_up(unit_name: str, targets: list[str]) -> list[str]:
    """The units among ``targets`` that do not lie in a lower layer, nor are the unit itself."""
    return [t for t in targets if t != unit_name and LAYERS.get(t, -1) >= LAYERS[unit_name]]


FILES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path):
    assert unit(path) in LAYERS, f"{path} has no layer: give it one in this test"
    assert pointing_up(unit(path), imported(path)) == []


def test_an_import_that_points_up_is_noticed():
    assert pointing_up("types", ["registry"]) == ["registry"]
    assert pointing_up("pipeline", ["models"]) == ["models"]
    assert pointing_up("cli", ["training", "types"]) == []


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
        *(f"import temzoo.{name}" for name in NO_TENSORFLOW),
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
        f"{ABSENT}"
    )
    assert in_fresh_process(code).strip().endswith("[]")


def test_only_augment_touches_imgaug():
    users = [
        p.name for p in FILES if "imgaug" in p.read_text() and "import imgaug" in p.read_text()
    ]
    assert users == ["augment.py"]


def test_no_architecture_is_named_outside_models():
    """Code outside models/ may list names in help texts of the command line and the demo only."""
    for path in FILES:
        if unit(path) in ("models", "cli", "demo"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        compared = [
            node for node in ast.walk(tree) if isinstance(node, ast.Compare | ast.If | ast.Match)
        ]
        for node in compared:
            text = ast.unparse(node.test if isinstance(node, ast.If) else node)
            assert "'unet" not in text, f"{path}:{node.lineno} branches on an architecture"
