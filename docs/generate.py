"""The reference pages: ``temzoo.__all__`` and the commands of ``temzoo`` become files for Sphinx.

Nothing here knows in which module a public name lies, so that modules may move. A name of
``temzoo.__all__`` that no group below lists gets a place under "Other".
"""

from __future__ import annotations

import inspect
import os
import re
import textwrap
import types
import typing
import zlib
from collections.abc import Iterator
from pathlib import Path

import temzoo
from temzoo.cli.help import kind

# Titles of the API's pages, and the names on each; names that temzoo lacks are passed over.
GROUPS = {
    "models": (
        "Models",
        "Which models there are, what they score, and how to build or load one.",
        ("list_models", "model_card", "get_model", "register", "ModelCard", "models"),
    ),
    "data": (
        "Micrographs, labels and data",
        "From files to examples: images with their calibration and their labels.",
        (
            "load_micrograph",
            "iter_frames",
            "count_frames",
            "read_scale_bar",
            "ScaleBar",
            "annotations_drawn_in",
            "load_dataset",
            "split",
            "split_by_names",
            "load_images",
            "load_pairs",
            "load_frames",
            "Micrograph",
            "LabelledImage",
            "Shape",
            "Example",
            "labels",
            "synthetic",
            "augment",
        ),
    ),
    "train": (
        "Train and search",
        "From examples to trained weights, and to the settings that suit them.",
        ("train", "tune", "Task", "register_task", "tasks"),
    ),
    "predict": (
        "Predict",
        "From micrographs to class maps, instances and detections, and files of them.",
        (
            "predict",
            "Watershed",
            "Prediction",
            "Detection",
            "load_prediction",
            "list_predictions",
            "saved",
        ),
    ),
    "evaluate": (
        "Evaluate",
        "From predictions and labels to scores with intervals; baselines to compare with.",
        ("evaluate", "tune_instances", "evaluate_classifier", "classical"),
    ),
    "measure": (
        "Measure",
        "From predictions to sizes and shapes in nanometres.",
        ("measure", "summarize", "plot_sizes", "measurement"),
    ),
    "report": (
        "Report and pictures",
        "One HTML file of a whole job, and the pictures in it.",
        ("write_report", "report"),
    ),
    "deploy": (
        "Export, serve, accelerate",
        "A model on a server, or faster on a CPU.",
        ("export", "connect", "accelerate"),
    ),
    "annotation": (
        "Annotation",
        "What to label next, and predictions as labels to correct.",
        ("label_next", "labels_of"),
    ),
    "restoration": (
        "Restoration",
        "Denoise and colour micrographs, and score that.",
        ("restore", "evaluate_restoration"),
    ),
    "latent": (
        "Particles, classes, latent spaces",
        "Cut single particles, classify them, or look at the space they lie in.",
        ("particles", "load_classes", "classify", "latent_report", "latent"),
    ),
}
LINE = 66  # characters of a command that fit the page beside both columns
OTHER = ("other", "Other", "Names that belong to none of the groups.")

# What is left without a link: names that are not public, words of docstrings that read as types,
# and other projects' names that nobody documents under the address that annotations give.
NOT_DOCUMENTED = (
    r"[^.]+",
    r"temzoo\..*",
    r"(np|npt|pd|tf|plt)\..*",
    r"(keras|tensorflow|cv2|PIL|matplotlib|scipy|sklearn|numpy\.random\._generator)\..*",
)

# Enough of other projects' inventories for the signatures: (name, kind, page and anchor).
INVENTORIES = {
    "python": (
        "https://docs.python.org/3",
        (
            ("collections.Counter", "class", "library/collections.html#$"),
            *(
                (f"collections.abc.{name}", "class", "library/collections.abc.html#$")
                for name in [
                    "Callable",
                    "Collection",
                    "Iterable",
                    "Iterator",
                    "Mapping",
                    "Sequence",
                ]
            ),
            ("pathlib.Path", "class", "library/pathlib.html#$"),
            ("typing.Any", "data", "library/typing.html#$"),
            *(
                (name, "exception", "library/exceptions.html#$")
                for name in [
                    "ConnectionError",
                    "FileNotFoundError",
                    "ImportError",
                    "IndexError",
                    "KeyError",
                    "KeyboardInterrupt",
                    "OSError",
                    "RuntimeError",
                    "TimeoutError",
                    "TypeError",
                    "ValueError",
                ]
            ),
            *(
                (name, "class", "library/functions.html#$")
                for name in ["bool", "float", "int", "object", "property"]
            ),
            *(
                (name, "class", "library/stdtypes.html#$")
                for name in ["bytes", "dict", "list", "range", "set", "str", "tuple"]
            ),
            ("None", "data", "library/constants.html#$"),
        ),
    ),
    "numpy": (
        "https://numpy.org/doc/stable",
        (
            ("numpy.ndarray", "class", "reference/generated/$.html#$"),
            ("numpy.dtype", "class", "reference/generated/$.html#$"),
            ("numpy.random.Generator", "class", "reference/random/generator.html#$"),
        ),
    ),
    "pandas": (
        "https://pandas.pydata.org/docs",
        (
            ("pandas.DataFrame", "class", "reference/api/$.html#$"),
            ("pandas.Series", "class", "reference/api/$.html#$"),
        ),
    ),
}


def inventories(folder: Path) -> dict[str, tuple[str, Path]]:
    """Writes the small inventories; gives address and file of each by the project's name."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for project, (address, entries) in INVENTORIES.items():
        head = f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n"
        head += "# The remainder of this file is compressed using zlib.\n"
        lines = "".join(f"{name} py:{kind} 1 {place} -\n" for name, kind, place in entries)
        path = folder / f"{project}.inv"
        path.write_bytes(head.encode() + zlib.compress(lines.encode()))
        found[project] = (address, path)
    return found


def resolve(app, env, node, content_node):
    """Finds what annotations call by its module, or by its bare name, under its public name."""
    last = node.get("reftarget", "").rpartition(".")[2]
    if node.get("refdomain") != "py" or not last:
        return None
    domain = env.domains["py"]
    for name in (f"temzoo.{last}", *_public_places(last)):
        if name in domain.objects and name != node["reftarget"]:
            kind = domain.objects[name].objtype
            role = {"function": "func", "class": "class", "module": "mod"}.get(kind, "obj")
            return domain.resolve_xref(
                env, node.get("refdoc", ""), app.builder, role, name, node, content_node
            )
    return None


def link_repository(app, docname, source):
    """Links to files of the repository outside docs/: to the host that is named, else copies.

    ``TEMZOO_DOCS_REPOSITORY`` is the address before a file's path, ``https://…/blob/main``.
    """
    root, page = Path(app.srcdir).parent, Path(app.srcdir) / docname
    host = os.environ.get("TEMZOO_DOCS_REPOSITORY", "").rstrip("/")

    def replaced(match: re.Match) -> str:
        text, target = match.groups()
        path = (page.parent / target).resolve()
        if path.is_relative_to(app.srcdir) or not path.is_relative_to(root):
            return match[0]
        return f"[{text}]({host}/{path.relative_to(root)})" if host else _download(text, target)

    source[0] = re.sub(r"\[([^\]]+)\]\((\.\./[^)#\s]+)\)", replaced, source[0])


def _download(text: str, target: str) -> str:
    return f"{{download}}`{text} <{target}>`"


def escape(app, what, name, obj, options, lines):
    """Docstrings are plain text with ``code``: |r| and val_ are no references in them."""
    for k, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = re.split(r"(``.*?``|`[^`]*`_*)", line)
            for n in range(0, len(parts), 2):
                parts[n] = re.sub(r"\|(?=\S)|(?<=\S)\||(?<=\w)_(?!\w)", r"\\\g<0>", parts[n])
            lines[k] = "".join(parts)


def without_factories(app, what, name, obj, options, signature, returns):
    """A default that a factory makes is "...", which Sphinx can read, where "<factory>" is not."""
    return (signature or "").replace("<factory>", "...") or None, returns


def _public_places(name: str) -> list[str]:
    modules = [n for n in temzoo.__all__ if inspect.ismodule(getattr(temzoo, n))]
    return [f"temzoo.{module}.{name}" for module in modules]


def write_reference(folder: Path) -> None:
    """Writes ``api/`` and ``cli/``; leaves files alone that would not change."""
    pages = {**_api_pages(), **_cli_pages()}
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for sub in ("api", "cli"):
        for path in (folder / sub).glob("*"):
            if f"{sub}/{path.name}" not in pages:
                path.unlink()


def grouped() -> dict[str, tuple[str, str, list[str]]]:
    """Title, what it is about, and public names of each page, by the page's file name."""
    public = [name for name in temzoo.__all__ if not name.startswith("_")]
    groups = {
        page: (title, about, [name for name in names if name in public])
        for page, (title, about, names) in GROUPS.items()
    }
    placed = {name for _, _, names in groups.values() for name in names}
    if left := [name for name in public if name not in placed]:
        groups[OTHER[0]] = (*OTHER[1:], left)
    return {page: group for page, group in groups.items() if group[2]}


def _api_pages() -> dict[str, str]:
    groups = grouped()
    index = [
        _title("Python", "="),
        "What ``import temzoo`` offers. A name is loaded when it is first used: importing temzoo",
        "imports neither TensorFlow nor Keras.",
        "",
        ".. toctree::",
        "   :hidden:",
        "",
        *(f"   {page}" for page in groups),
        "",
    ]
    pages = {}
    for page, (title, about, names) in groups.items():
        index += [f":doc:`{title} <{page}>`", f"   {about}", ""]
        pages[f"api/{page}.rst"] = _group_page(title, about, names)
    return {"api/index.rst": "\n".join(index), **pages}


def _group_page(title: str, about: str, names: list[str]) -> str:
    own = [name for name in names if not inspect.ismodule(getattr(temzoo, name))]
    modules = [name for name in names if name not in own]
    lines = [_title(title, "="), about, ""]
    if own:
        lines += [".. autosummary::", "", *(f"   ~temzoo.{name}" for name in own), ""]
    for name in own:
        lines += _documented("temzoo", name, getattr(temzoo, name))
    for name in modules:
        lines += _module(name, getattr(temzoo, name))
    return "\n".join(lines)


def _module(name: str, module: types.ModuleType) -> list[str]:
    full = f"temzoo.{name}"
    lines = [_title(full, "-"), f".. automodule:: {full}", "   :no-members:", ""]
    lines += [".. currentmodule:: None", ""]
    members = list(_members(module))
    if members:
        lines += [".. autosummary::", "", *(f"   ~{full}.{member}" for member in members), ""]
    for member in members:
        lines += _documented(full, member, getattr(module, member))
    return lines


def _members(module: types.ModuleType) -> Iterator[str]:
    """The public classes and functions: as it lists them, else those it defines."""
    listed = hasattr(module, "__all__")
    for name in getattr(module, "__all__", vars(module)):
        value = getattr(module, name)
        own = listed or getattr(value, "__module__", "").startswith(module.__name__)
        kind = inspect.isfunction(value) or inspect.isclass(value)
        elsewhere = getattr(temzoo, name, None) is value  # documented there
        if kind and own and not elsewhere and not name.startswith("_"):
            yield name


def _documented(home: str, name: str, value: object) -> list[str]:
    if inspect.isclass(value):
        return [f".. autoclass:: {home}.{name}", "   :members:", ""]
    return [f".. autofunction:: {home}.{name}", ""]


def _title(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}\n"


def commands() -> dict[str, object]:
    """The commands by what is typed: "predict", "labels check" …"""
    import typer

    import temzoo.cli

    def walk(command, words):
        children = getattr(command, "commands", None)
        if children is None:
            yield " ".join(words), command
        for name, child in sorted((children or {}).items()):
            yield from walk(child, [*words, name])

    return dict(walk(typer.main.get_command(temzoo.cli.app), []))


def _cli_pages() -> dict[str, str]:
    found = commands()
    index = [
        "# Command line",
        "",
        "`temzoo COMMAND --help` prints what stands on these pages. An error that you can mend is"
        " one line; set `TEMZOO_TRACEBACK=1` to see where it came from.",
        "",
        "| command | what it does |",
        "| --- | --- |",
    ]
    pages = {}
    for name, command in found.items():
        page = name.replace(" ", "-")
        first = (inspect.cleandoc(command.help or "") + "\n").partition("\n\n")[0]
        index.append(f"| [`temzoo {name}`]({page}.md) | {_cell(_flat(first))} |")
        pages[f"cli/{page}.md"] = _cli_page(name, command)
    index += ["", "```{toctree}", ":hidden:", "", *(n.replace(" ", "-") for n in found), "```", ""]
    return {"cli/index.md": "\n".join(index), **pages}


def _cli_page(name: str, command) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    usage = " ".join(
        ["temzoo", name, *(_metavar(p) for p in arguments), *(["[OPTIONS]"] if options else [])]
    )
    lines = [f"# temzoo {name}", "", "```text", usage, "```", ""]
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        text = _flat(paragraph)
        said = re.fullmatch(r"(.*: )?(temzoo [\w-]+ .*)", text)
        if said:  # an example of what to type ends the paragraph
            lines += [_escaped(said[1] or ""), "", "```shell", _broken(said[2]), "```", ""]
        else:
            lines += [_escaped(text), ""]
    if arguments:
        lines += ["## Arguments", "", "| argument | what |", "| --- | --- |"]
        lines += [f"| `{_metavar(p)}` | {_cell(p.help or '')} |" for p in arguments]
        lines += [""]
    if options:
        hints = typing.get_type_hints(inspect.unwrap(command.callback))
        lines += ["## Options", "", "| option | what | default |", "| --- | --- | --- |"]
        for option in options:
            cells = (_names(option, hints), _cell(option.help or ""), _default(option))
            lines.append(f"| {' | '.join(cells)} |")
        lines += [""]
    return "\n".join(lines)


def _broken(command: str) -> str:
    """A command in lines that fit the page, as a shell takes them."""
    lines = textwrap.wrap(command, LINE, break_long_words=False, break_on_hyphens=False)
    return " \\\n    ".join(lines)


def _metavar(parameter) -> str:
    name = parameter.metavar or parameter.name.upper()
    if parameter.nargs != 1 and "[" not in name:
        name += "…"
    return name if parameter.required or name.startswith("[") else f"[{name}]"


def _names(parameter, hints: dict[str, object]) -> str:
    """The words of an option, with what follows it."""
    value = "" if parameter.is_flag else f" {parameter.metavar or kind(hints[parameter.name])}"
    names = [f"`{name}{value}`" for name in parameter.opts]
    names += [f"`{name}`" for name in parameter.secondary_opts]
    return ", ".join(names)


def _default(parameter) -> str:
    value = parameter.default
    if callable(value) or value is None or value == [] or parameter.required:
        return "required" if parameter.required else ""
    if parameter.is_flag:
        return "on" if value else "off"
    if isinstance(value, tuple):
        return f"`{' '.join(map(str, value))}`"
    return f"`{value}`"


def _flat(text: str) -> str:
    return " ".join(text.split())


def _escaped(text: str) -> str:
    """Text as Markdown that shows it as it is; what stands in backquotes stays code."""
    parts = re.split(r"(`[^`]*`)", text)
    for k, part in enumerate(parts):
        if not part.startswith("`"):
            # Options, names with underscores and KEY=VALUE are code.
            pieces = re.split(r"((?<![\w-])--[a-z][\w-]*|\w*[_=][\w=.,]*\w)", part)
            for n, piece in enumerate(pieces):
                escaped = re.sub(r"([*_<>\[\]#$\\])", r"\\\1", piece)
                pieces[n] = f"`{piece}`" if n % 2 else escaped
            parts[k] = "".join(pieces)
    return "".join(parts)


def _cell(text: str) -> str:
    return _escaped(_flat(text)).replace("|", "\\|")
