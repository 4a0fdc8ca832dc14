"""Names to models: ``@register``, ``list_models``, ``model_card``.

Listing must not cost an import of Keras, so the cards are read from the source of ``models/*.py``:
the arguments of ``@register`` and the builder's defaults are literals. Importing such a file (which
``get_model`` does for the one it needs) registers its builder. A model registered by a user's own
script is listed beside them.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from temzoo.core.hints import did_you_mean
from temzoo.core.showing import Told
from temzoo.zoo import pretrained
from temzoo.zoo.plugins import load_installed

if TYPE_CHECKING:
    import keras

MODELS = Path(__file__).parents[1] / "models"
LARGEST, MOST = 1_000_000, 64  # of a keyword's numbers; of their count
# How scores on cards are written: name and unit.
SCORES = {
    "iou": ("IoU", ""),
    "ap": ("AP", ""),
    "ap50": ("AP50", ""),
    "box_ap50": ("box AP50", ""),
    "box_ap": ("box AP", ""),
    "f1": ("F1", ""),
    "pq": ("PQ", ""),
    "psnr_db": ("PSNR", "dB"),
}


@dataclass(frozen=True, repr=False)
class ModelCard(Told):
    """What is known of a model before it is built.

    Attributes:
        name: for ``get_model``.
        task: "semantic", …: the name of the ``Task`` that trains and judges it.
        summary: in a few words.
        paper: with DOI or arXiv id.
        input, output: shapes and ranges.
        config: the builder's keywords with their defaults.
        parameters: count, at the defaults.
        weights: shipped sets, by name.
        ranges: of its keywords that a search may choose: a list of choices, (low, high), or (low,
            high, "log"); whole numbers give whole numbers.
        free: keywords that may differ from those that weights were trained with.
        deferred: keyword -> value that stands for "a weights file follows", for the keywords that
            would fetch initial weights.
        module: where its builder is.
    """

    name: str
    task: str
    summary: str = ""
    paper: str = ""
    input: str = ""
    output: str = ""
    parameters: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, pretrained.WeightsCard] = field(default_factory=dict)
    ranges: Mapping[str, Any] = field(default_factory=dict)
    free: tuple[str, ...] = ()
    deferred: Mapping[str, Any] = field(default_factory=dict)
    module: str = ""

    def _told(self) -> tuple[str, Mapping[str, Any]]:
        size = f", {self.parameters / 1e6:.1f} M parameters" if self.parameters else ""
        best = [f"{name} {''.join(score_texts(w.scores)[:1])}" for name, w in self.weights.items()]
        return f"Model {self.name}: {self.summary}", {
            "task": f"{self.task}{size}",
            "takes": self.input,
            "gives": self.output,
            "keywords": ", ".join(f"{name}={value!r}" for name, value in self.config.items()),
            "weights": "; ".join(text.rstrip() for text in best) or "none are shipped",
        }


BUILDERS: dict[str, Callable[..., keras.Model]] = {}
_CARDS: dict[str, ModelCard] = {}


def register(name: str, *, task: str, **card: Any) -> Callable:
    """Registers the decorated builder under ``name``; the other arguments go into its card.

    The builder takes keywords with defaults, its config, and returns an uncompiled keras.Model. In
    a file of ``temzoo/models`` all arguments and defaults are literals.

    Raises:
        ValueError: the name is taken.

    Example:
        >>> @register("tiny", task="semantic", summary="one convolution")
        ... def tiny(*, classes=2, channels=1): ...
    """

    def decorate(builder: Callable) -> Callable:
        declared = _declared().get(name)
        taken = BUILDERS[name].__module__ if name in BUILDERS else declared and declared.module
        if name in BUILDERS or taken not in (None, builder.__module__):
            raise ValueError(
                f'A model is registered once. Received: name="{name}" in {builder.__module__}, but'
                f" {taken} has it already. Choose another name."
            )
        defaults = {p.name: p.default for p in inspect.signature(builder).parameters.values()}
        BUILDERS[name] = builder
        _CARDS[name] = ModelCard(
            name=name, task=task, config=defaults, module=builder.__module__, **card
        )
        return builder

    return decorate


@cache
def _declared() -> Mapping[str, ModelCard]:
    """The cards of ``models/*.py``, read from their source."""
    cards: dict[str, ModelCard] = {}
    for path in sorted(MODELS.glob("*.py")):
        for card in _cards_in(path):
            if card.name in cards:
                raise ValueError(
                    f'A model is registered once. Received: name="{card.name}" in'
                    f" {cards[card.name].module} and in {card.module}."
                )
            cards[card.name] = card
    return MappingProxyType(cards)


def _cards_in(path: Path) -> list[ModelCard]:
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [
        _card_of(call, function, path)
        for function in functions
        for call in function.decorator_list
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "register"
    ]


def _card_of(call: ast.Call, function: ast.FunctionDef, path: Path) -> ModelCard:
    try:
        name = ast.literal_eval(call.args[0])
        values = {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg}
        arguments = function.args
        config = {
            argument.arg: ast.literal_eval(default or "")  # without a default it is no literal
            for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        }
    except (ValueError, IndexError, TypeError) as error:
        raise ValueError(
            f"{path}:{call.lineno}: the arguments of @register and the builder's keyword-only"
            " defaults must be literals, so that models can be listed without importing Keras."
        ) from error
    return ModelCard(name=name, config=config, module=f"temzoo.models.{path.stem}", **values)


def list_models(task: str | None = None, pretrained: bool | None = None) -> list[str]:
    """Names of the registered models, sorted.

    Args:
        task: only those of this task.
        pretrained: only those with (True) or without (False) shipped weights.

    Example:
        >>> list_models(task="semantic")
        ['unet', 'unet_mobilenet']
    """
    load_installed()
    cards = [model_card(name) for name in sorted({*_declared(), *_CARDS})]
    return [
        card.name
        for card in cards
        if (task is None or card.task == task)
        and (pretrained is None or bool(card.weights) == pretrained)
    ]


def model_card(name: str) -> ModelCard:
    """The card of a registered model.

    Raises:
        ValueError: no such model; close matches are named.
    """
    if name not in _CARDS and name not in _declared():
        load_installed()
    card = _CARDS.get(name) or _declared().get(name)
    if card is None:
        names = sorted({*_declared(), *_CARDS})
        raise ValueError(
            f'No model is called "{name}".{did_you_mean(name, names)} Models: {", ".join(names)}.'
            " One of your own is known once its file was run: import it, or add --with FILE.py."
        )
    weights = MappingProxyType(pretrained.available(card.name))
    return replace(card, weights=weights, config=MappingProxyType(dict(card.config)))


def score_texts(scores: Mapping[str, Any]) -> list[str]:
    """The scores of a weights card in words; the first has the card's interval.

    Example:
        >>> score_texts({"iou": 0.8248, "low": 0.7774, "high": 0.8693, "images": 73})
        ['IoU 0.825 [0.777, 0.869]', '73 images']
    """
    figures = {name: value for name, value in scores.items() if name not in ("low", "high")}
    texts = [_score_text(name, value) for name, value in figures.items()]
    if texts and {"low", "high"} <= scores.keys():
        texts[0] += f" [{scores['low']:#.3g}, {scores['high']:#.3g}]"
    return texts


def _score_text(name: str, value: Any) -> str:
    """``"psnr_db low-dose", 29.03`` as "PSNR 29.0 dB (low-dose)"."""
    if isinstance(value, int):
        return f"epoch {value}" if name == "epoch" else f"{value} {name}"
    metric, _, of = name.removeprefix("val_").partition(" ")
    metric, unit = SCORES.get(metric, (metric.replace("_", " "), ""))
    shown = f"{value:#.3g}" if isinstance(value, float) else str(value)
    return " ".join(part for part in (metric, shown, unit, of and f"({of})") if part)


def check_keywords(card: ModelCard, config: Mapping[str, Any]) -> None:
    """Raises ValueError, with close matches, for a keyword that the model does not have.

    And for a value that no model has: numbers that are not finite, or beyond ``LARGEST``.
    """
    for keyword, value in config.items():
        if keyword not in card.config:
            raise ValueError(
                f'"{card.name}" has no keyword "{keyword}".'
                f"{did_you_mean(keyword, list(card.config))} Keywords: {', '.join(card.config)}."
            )
        values = value if isinstance(value, list | tuple) else [value]
        numbers = [v for v in values if isinstance(v, int | float)]
        if len(values) > MOST or not all(abs(number) <= LARGEST for number in numbers):
            raise ValueError(
                f"{keyword} must be finite: numbers up to {LARGEST:,}, {MOST} of them at most."
                f" Received: {keyword}={str(value)[:60]}. Its default is {card.config[keyword]!r}."
            )
