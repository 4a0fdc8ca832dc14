"""Options from a TOML file, and the file that repeats a run."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from temzoo.core.files import write_text
from temzoo.core.hints import did_you_mean, located

NAME = "run.toml"
OWN = ("out", "resume", "config")  # of one run, not of those that repeat it


def _read(context: typer.Context, path: Path | None) -> Path | None:
    """Takes the options of a file wherever the command line has none."""
    if path is not None:
        with located(str(path)):
            told = tomllib.loads(Path(path).read_text(encoding="utf-8"))
            context.default_map = _values(told, _parameters(context))
    return path


Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.toml",
        help="Take what is not typed from here: options by their names, such as epochs = 20, lists"
        " for those that repeat; model = the MODEL. A run's own is run.toml.",
        callback=_read,
        is_eager=True,
    ),
]


def _parameters(context: typer.Context) -> dict[str, Any]:
    """What a file may hold, by its names there."""
    return {_key(one): one for one in context.command.params if _key(one) not in ("config", "help")}


def _key(parameter: Any) -> str:
    return next(iter(parameter.opts), parameter.name).lstrip("-")


def _values(told: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """As if they were typed, by the command's own names.

    Raises:
        ValueError: a key is no option, or its value is not of the kind that it takes.
    """
    found = {}
    for name, value in told.items():
        key = name.replace("_", "-")
        if key not in known:
            raise ValueError(
                f"keys must be options of the command. Received: {name}."
                f"{did_you_mean(key, known)} Options: {', '.join(known)}."
            )
        found[known[key].name] = _typed(name, value, known[key])
    return found


def _typed(name: str, value: Any, parameter: Any) -> Any:
    several = parameter.multiple or parameter.nargs != 1
    rule, example = "text or a number", "one value"
    if parameter.param_type_name == "option" and parameter.is_flag:
        if isinstance(value, bool):
            return value
        rule, example = "true or false", "true"
    elif several and isinstance(value, list) and all(map(_is_word, value)):
        return [str(each) for each in value]
    elif not several and _is_word(value):
        return str(value)
    elif several:
        rule, example = "a list of texts or numbers", "[…]"
    raise ValueError(
        f"{name} must be {rule}. Received: {name} = {value!r}. Write {name} = {example}."
    )


def _is_word(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def is_stated(context: typer.Context, name: str) -> bool:
    """Whether an option was typed, or stands in the file."""
    source = context.get_parameter_source(name)
    return source is not None and source.name in ("COMMANDLINE", "DEFAULT_MAP")


def write(context: typer.Context, folder: Path) -> None:
    """Writes the file that repeats a command, into its run folder; files by their whole paths."""
    stated = {
        key: context.params[one.name]
        for key, one in _parameters(context).items()
        if key not in OWN and is_stated(context, one.name)
    }
    head = f"# temzoo train --config {NAME} --out ANOTHER repeats the run.\n"
    lines = "".join(f"{key} = {_toml(value)}\n" for key, value in stated.items())
    write_text(folder / NAME, head + lines)


def _toml(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    whole = str(Path(value).absolute()) if isinstance(value, Path) or _is_file(value) else value
    # JSON's strings are TOML's; a name that is no UTF-8 cannot be written down.
    plain = whole.encode("utf-8", "replace").decode("utf-8").replace("\x7f", "?")
    return json.dumps(plain, ensure_ascii=False)


def _is_file(text: str) -> bool:
    """Whether a text is a path of something in a folder, and no name of weights."""
    return ("/" in text or text.endswith(".h5")) and os.path.exists(text)
