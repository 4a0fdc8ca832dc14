"""Models and tasks from outside the package: files that are named, and installed packages.

A package offers its own by entry points of the group ``temzoo.models``: each names a module that
registers models (``@temzoo.register``) when it is imported.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.metadata import entry_points
from pathlib import Path

GROUP = "temzoo.models"
OF_FILES = "temzoo_with_"  # names of their modules begin so
_BEGUN: set[str] = set()  # entry points whose import was begun


def load_file(path: str | Path) -> None:
    """Runs a Python file that registers models or tasks, once in this process.

    Raises:
        FileNotFoundError: there is no such file.
        Exception: whatever the file raises.
    """
    path = Path(path).resolve()
    if not path.is_file():
        raise FileNotFoundError(
            "--with takes a Python file that registers models (@temzoo.register) or tasks"
            f" (temzoo.register_task). Received: {path}, which is not there. Correct the path."
        )
    name = f"{OF_FILES}{path.stem}"
    if getattr(sys.modules.get(name), "__file__", None) == str(path):
        return
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def loaded_files() -> list[str]:
    """The files that ``load_file`` has run in this process."""
    return [m.__file__ for name, m in [*sys.modules.items()] if name.startswith(OF_FILES)]


def load_installed() -> None:
    """Imports what installed packages offer, once in this process.

    Raises:
        RuntimeError: one cannot be imported; it is named.
    """
    for entry in entry_points(group=GROUP):
        if entry.value in _BEGUN:
            continue
        _BEGUN.add(entry.value)  # before it, since a plug-in may list the models itself
        try:
            entry.load()
        except Exception as error:
            raise RuntimeError(
                f"An installed package offers models to temzoo, and they cannot be imported."
                f" Received: {entry.value}: {error}. Mend or uninstall the package."
            ) from error
