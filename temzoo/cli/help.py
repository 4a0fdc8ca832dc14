"""How the commands show themselves: help that fits 80 columns, and what to type after an error."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

UsageError = typer.BadParameter.__bases__[0]  # typer brings click along, or asks for it


def kind(hint: Any) -> str:
    """What to type for an annotation: int | None is N, tuple[float, float] is X X."""
    inner = [one for one in typing.get_args(hint) if one is not type(None)]
    if typing.get_origin(hint) in (list, types.UnionType, typing.Union):
        return kind(inner[0])
    if inner:
        return " ".join(map(kind, inner))
    return {int: "N", float: "X", Path: "PATH"}.get(hint, "TEXT")


class _Page:
    """Paragraphs without their line breaks, one name an option, and no types of Python."""

    is_page = False
    callback: Callable | None
    help: str | None

    def get_params(self, ctx: Any) -> list:
        own = super().get_params(ctx)  # type: ignore[misc]
        if not self.is_page:
            return own
        hints = typing.get_type_hints(inspect.unwrap(self.callback)) if self.callback else {}
        return [_shown(one, hints) for one in own]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        page = copy(self)
        page.is_page = True
        paragraphs = inspect.cleandoc(self.help or "").split("\n\n")
        page.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
        super(_Page, page).format_help(ctx, formatter)  # type: ignore[misc]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)  # type: ignore[misc]
        except UsageError as error:
            for one in super().get_params(ctx):  # type: ignore[misc]
                if one.nargs > 1 and f"'{one.opts[0]}'" in error.format_message():
                    example = " ".join(map(str, one.default))
                    asked = f"Type {one.nargs} words, such as {one.opts[0]} {example}"
                    error.message = f"{error.message.rstrip('.')}. {asked}"
            raise


class Command(_Page, TyperCommand):
    """A command."""


class Group(_Page, TyperGroup):
    """A command of commands."""


def _shown(parameter: Any, hints: dict[str, Any]) -> Any:
    """A parameter as the page has it: a column of ``--no-…`` would leave none for the help."""
    shown = copy(parameter)
    if parameter.param_type_name != "option":
        shown.display_type_rich = lambda ctx: None  # the name says it
        return shown
    if not parameter.is_flag:
        shown.metavar = parameter.metavar or kind(hints.get(parameter.name))
        return shown
    shown.metavar = ""
    if parameter.secondary_opts:
        off = parameter.secondary_opts[0]
        said = {True: f"On by default; off by {off}.", False: f"Off by default, and by {off}."}
        shown.help = f"{parameter.help} {said.get(parameter.default, f'Off by {off}.')}"
        shown.secondary_opts, shown.show_default = [], False
    return shown
