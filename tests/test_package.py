"""What setup.cfg promises is what the package holds and imports."""

import ast
import configparser
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import temzoo

ROOT = Path(__file__).resolve().parents[1]
# Where what is imported is called otherwise than what is installed.
INSTALLED_AS = {
    "yaml": "pyyaml",
    "PIL": "pillow",
    "cv2": "opencv-python",
    "keras_tuner": "keras-tuner",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "keras_cv": "keras-cv",
    "tensorflow_serving": "tensorflow-serving-api",
    "grpc": "grpcio",
    "google": "protobuf",
    "rsciio": "rosettasciio",
    "cvat_sdk": "cvat-sdk",
}
# Not imported by name: Keras' training logs want tensorboard, pandas writes Parquet by pyarrow.
UNNAMED = {"tensorboard", "keras-cv", "pyarrow"}
DEVELOPERS = {"test", "docs"}  # extras that the package itself does not import


@pytest.fixture(scope="module")
def setup():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines() if not line.strip().startswith("#")]


def requirements(setup) -> dict[str, str]:
    """Name to bounds."""
    found = {}
    for line in lines(setup["options"]["install_requires"]):
        name, bounds = re.fullmatch(r"([\w-]+)\s*([<>=!~].*)?", line).groups()
        found[name] = bounds or ""
    return found


def extras(setup) -> set[str]:
    """What a user may install beside, by what temzoo imports of it."""
    groups = setup["options.extras_require"]
    found = [line for name in groups if name not in DEVELOPERS for line in lines(groups[name])]
    return {re.match(r"[\w-]+", line).group() for line in found}


def third_party_imports() -> set[str]:
    names = set()
    for path in (ROOT / "temzoo").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(node.module.split(".")[0])
    return names - sys.stdlib_module_names - {"temzoo"}


def test_what_is_imported_is_required_and_the_reverse(setup):
    imported = {INSTALLED_AS.get(name, name) for name in third_party_imports()}
    imported -= extras(setup)
    assert imported - set(requirements(setup)) == set()
    assert set(requirements(setup)) - imported - UNNAMED == set()


def test_every_requirement_is_bounded(setup):
    unbounded = [name for name, bounds in requirements(setup).items() if not bounds]
    assert unbounded == []


def test_a_reason_stands_above_every_bound():
    text = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    block = text[text.index("install_requires =") :].split("\n[", 1)[0].splitlines()[1:]
    bare = [
        line.strip()
        for above, line in zip(["", *block], block, strict=False)
        if line.strip() and not line.lstrip().startswith("#") and not above.lstrip().startswith("#")
    ]
    assert bare == []


def test_every_package_on_disk_is_installed(setup):
    folders = [path.parent for path in (ROOT / "temzoo").rglob("__init__.py")]
    on_disk = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert set(lines(setup["options"]["packages"])) == {*on_disk, "temzoo.weights"}


def test_every_weights_file_is_installed(setup):
    assert lines(setup["options"]["package_dir"]) == ["temzoo.weights = weights"]
    patterns = lines(setup["options.package_data"]["temzoo.weights"])
    files = [path.name for path in (ROOT / "weights").iterdir()]
    assert "index.json" in files
    assert [f for f in files if not any(fnmatch(f, pattern) for pattern in patterns)] == []


def test_the_running_python_is_one_that_is_promised(setup):
    assert setup["options"]["python_requires"] == ">=3.11,<3.13"
    promised = re.findall(r":: (3\.\d+)$", setup["metadata"]["classifiers"], re.MULTILINE)
    assert promised == ["3.11", "3.12"]
    assert f"3.{sys.version_info.minor}" in promised


def test_version_stands_in_one_place(setup):
    assert setup["metadata"]["version"] == "attr: temzoo.__version__"
    assert re.fullmatch(r"\d+\.\d+\.\d+", temzoo.__version__)


def test_installed_version_is_that_of_the_package():
    try:
        installed = version("temzoo")
    except PackageNotFoundError:
        pytest.skip("temzoo runs from a checkout that is not installed; make setup installs it")
    assert installed == temzoo.__version__


def test_type_checkers_see_the_names_of_temzoo():
    tree = ast.parse((ROOT / "temzoo" / "__init__.py").read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {node.names[0].asname: node.module for node in block.body}
    assert seen == {name: f"temzoo.{home}" for name, home in temzoo._HOMES.items()}


def test_the_public_surface_is_type_checked(setup):
    """``make lint`` runs mypy on every module that a name of temzoo comes from."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        checked = tomllib.load(file)["tool"]["mypy"]["files"]
    homes = {f"temzoo/{home.replace('.', '/')}" for home in temzoo._HOMES.values()}
    found = {name.removesuffix(".py").removesuffix("/__init__") for name in checked}
    assert found == {"temzoo", *homes}
    assert "py.typed" in lines(setup["options.package_data"]["temzoo"])


def test_the_version_to_cite_is_that_of_the_package():
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited[1].strip("\"'") == temzoo.__version__


@pytest.mark.parametrize(("set_to", "kept"), [(None, "3"), ("0", "0")])
def test_tensorflow_is_quiet_unless_it_was_told_otherwise(monkeypatch, set_to, kept):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    if set_to is not None:
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", set_to)
    code = "import os, temzoo; print(os.environ['TF_CPP_MIN_LOG_LEVEL'])"
    code += "" if set_to else "; temzoo.get_model('mlp')"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == kept
    assert found.stderr == ""
