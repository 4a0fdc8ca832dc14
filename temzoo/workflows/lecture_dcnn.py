"""For a lecture: deep convolutional networks beside multilayer perceptrons, on particles.

What ``temzoo lecture dcnn`` runs. The usual claims (fewer parameters for the same accuracy, less
overfitting, no need to see each place, neighbours matter) are measured, and the page says of each
whether it held. Convolution and max-pooling are done by hand on a few numbers first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn

from temzoo.core.files import write_json, write_text
from temzoo.core.types import Example
from temzoo.pages.page import Section, page, plain_table, png_figure
from temzoo.pictures.classifier_plots import plot_kernels, plot_scores
from temzoo.training import run_folder
from temzoo.workflows.demo_data import print_files
from temzoo.workflows.lecture_trials import (
    ALEXNET,
    DCNN,
    FEW,
    MLP,
    SEEDS,
    SHIFTS,
    STEPS,
    STRIDELESS,
    Learnt,
    Trial,
    learn,
    trials,
)
from temzoo.workflows.lecture_windows import (
    DRAWN,
    KINDS,
    Windows,
    drawn_windows,
    labelled_windows,
)

Parts = tuple[Sequence[Example], Sequence[Example]]
FAR = SHIFTS.index(4)
# An edge, and a kernel that finds edges.
PIXELS = np.array(
    [[0, 0, 0, 9, 9, 9]] * 3 + [[0, 0, 0, 0, 9, 9]] * 2 + [[0, 0, 0, 0, 0, 9]], np.float32
)
KERNEL = np.array([[-1, 0, 1]] * 3, np.float32)
INTRODUCTION = """A multilayer perceptron (MLP) has a weight for each pixel and each of its neurons.
A deep convolutional network (DCNN) has small kernels that are moved over the image, so that each
weight serves at all places. Both learn here to tell the outlines of particles apart: {kinds}.
Scores are the mean over the kinds of the share that is found as such, on {judged}; a guess has
{chance:.2f}. Lines are means over {seeds} seeds, bands reach from the lowest to the highest."""
BY_HAND = """A convolution lays the kernel on the image, multiplies what lies on each other, and
adds up: one number for each place. This kernel answers where the image grows brighter to the right.
Max-pooling then keeps the largest of each 2 x 2 numbers: half the size, and where exactly the edge
lay within them no longer matters."""


@dataclass(frozen=True, eq=False)
class DcnnLecture:
    """What was trained, found and drawn.

    Attributes:
        learnt: one for each of ``lecture_trials.trials``, in that order.
        claims: heading of each, and what the figures say of it.
        files: what each file is, by its path; the page is the first.
    """

    learnt: Sequence[Learnt]
    claims: dict[str, str]
    files: dict[Path, str]


def lecture_dcnn(
    out: str | Path = "lecture",
    *,
    examples: Parts | None = None,
    seeds: int = SEEDS,
    steps: int = STEPS,
) -> DcnnLecture:
    """Trains MLPs and DCNNs on particles and draws their scores beside each other.

    Writes ``lecture.html``, a page that holds every picture and says what is to be seen, the
    pictures as PNG, and ``figures.json``. Prints the claims and the files.

    Args:
        out: folder to write to.
        examples: labelled micrographs to learn from, and those that score, of other publications
            or samples; None: particles are drawn.
        seeds: how often each network is trained.
        steps: of each training.

    Raises:
        ValueError: fewer than one seed or step; micrographs lack particles of a kind.
    """
    for name, number in (("seeds", seeds), ("steps", steps)):
        if number < 1:
            raise ValueError(f"{name} must be at least 1. Received: {name}={number}.")
    train, val = _windows(examples)
    print(f"{len(train)} particles to learn from, {len(val)} of other groups that score.")
    learnt = _learnt(train, val, seeds, steps)
    said = claims(learnt)
    print("\n" + "\n".join(f"{heading}: {text}" for heading, text in said.items()) + "\n")
    out = Path(out)
    pictures = _draw(learnt, out)
    told = {"seeds": seeds, "steps": steps, "drawn": examples is None, "claims": said}
    told |= {"train": len(train), "val": len(val), "val_groups": len(set(val.groups))}
    files = {**_write(out, learnt, told, pictures), **pictures}
    print_files(files)
    return DcnnLecture(learnt, said, files)


def _windows(examples: Parts | None) -> tuple[Windows, Windows]:
    if examples is None:
        return drawn_windows(), drawn_windows(DRAWN // 4, seed=1)
    return labelled_windows(examples[0]), labelled_windows(examples[1])


def _learnt(train: Windows, val: Windows, seeds: int, steps: int) -> list[Learnt]:
    found = []
    columns = Progress.get_default_columns()[:3]
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task("training", total=seeds * len(trials()))
        for trial in trials():
            bar.update(task, description=f"{trial.family}, {trial.images} particles")
            found.append(learn(trial, train, val, range(seeds), steps, lambda: bar.advance(task)))
    return found


def claims(learnt: Sequence[Learnt]) -> dict[str, str]:
    """What is usually said of DCNNs, and what the figures say of it here."""
    return {
        "Fewer parameters": _of_parameters(learnt),
        "Less overfitting": _of_overfitting(learnt),
        "A shift does not matter": _of_shifts(learnt),
        "Neighbours matter": _of_neighbours(learnt),
    }


def _of(learnt: Sequence[Learnt], family: str, **wanted) -> list[Learnt]:
    """Those of a family whose trials have these attributes."""
    return [
        one
        for one in learnt
        if one.trial.family == family
        and all(getattr(one.trial, name) == value for name, value in wanted.items())
    ]


def _of_parameters(learnt: Sequence[Learnt]) -> str:
    mlps, dcnns = (_of(learnt, family, augmented=True) for family in (MLP, DCNN))
    goal = min(max(one.val.mean() for one in family) for family in (mlps, dcnns)) - 0.01
    mlp, dcnn = (
        min((o for o in family if o.val.mean() >= goal), key=lambda o: o.parameters)
        for family in (mlps, dcnns)
    )
    holds = "holds" if dcnn.parameters < mlp.parameters else "does not hold"
    return (
        f"{holds} here. The smallest MLP that reaches {goal:.2f} has {mlp.parameters:,} parameters,"
        f" the smallest DCNN {dcnn.parameters:,} ({mlp.val.mean():.3f} and {dcnn.val.mean():.3f})."
    )


def _of_overfitting(learnt: Sequence[Learnt]) -> str:
    gaps = {}
    for family in (MLP, DCNN):
        found = _of(learnt, family, augmented=False, permuted=False)
        gaps[family] = [float((one.train - one.val).mean()) for one in found]
    holds = "holds" if all(np.less(gaps[DCNN], gaps[MLP])) else "does not hold throughout"
    said = "; ".join(
        f"{family} {', '.join(f'{g:.2f}' for g in gap)}" for family, gap in gaps.items()
    )
    return (
        f"{holds} here. Training score minus that on others, of {_listed(FEW)} particles: {said}."
        " A gap is also small where a network fits what it learnt from less well: see the curves."
    )


def _of_shifts(learnt: Sequence[Learnt]) -> str:
    lost = {}
    for one in _shifted(learnt):
        lost[one.trial.family] = float((one.val - one.shifted[:, FAR]).mean())
    least = (
        "holds without strides alone" if lost[STRIDELESS] < 0.05 < lost[DCNN] else "does not hold"
    )
    holds = "holds" if max(lost[STRIDELESS], lost[DCNN]) < 0.05 else least
    said = ", ".join(f"{family} {loss:.2f}" for family, loss in lost.items())
    return (
        f"{holds} here. Lost by a shift of 4 px: {said}. Convolution moves its"
        " answer along with the image; what makes the network's answer stay is the mean over all"
        " places, and strides of two and more let only shifts by their product pass unnoticed."
    )


def _of_neighbours(learnt: Sequence[Learnt]) -> str:
    costs = {}
    for family in (MLP, DCNN):
        [permuted] = _of(learnt, family, permuted=True)
        plain = _of(learnt, family, augmented=False, permuted=False)[-1]
        costs[family] = float((plain.val - permuted.val).mean())
    holds = "holds" if costs[DCNN] > max(0.05, 2 * costs[MLP]) else "does not hold"
    return (
        f"{holds} here. All pixels of all images change places alike: the same facts, without"
        f" neighbours. It costs the MLP {costs[MLP]:.3f} and the DCNN {costs[DCNN]:.3f}."
    )


def _shifted(learnt: Sequence[Learnt]) -> list[Learnt]:
    """One network of each family, augmented: the largest DCNN, and the MLP beside it."""
    usual = {one.trial.family: one.trial.config for one in learnt if not one.trial.augmented}
    return [
        one
        for one in learnt
        if one.trial.augmented and usual.get(one.trial.family, one.trial.config) == one.trial.config
    ]


def _listed(numbers: Sequence[int]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def _draw(learnt: Sequence[Learnt], out: Path) -> dict[Path, str]:
    """Every picture, in the page's order, and what it is."""
    chance = 1 / len(KINDS)
    sizes = {
        family: ([o.parameters for o in found], np.stack([o.val for o in found], axis=1))
        for family in (MLP, DCNN)
        if (found := _of(learnt, family, augmented=True))
    }
    curves = {}
    for family in (MLP, DCNN):
        found = _of(learnt, family, augmented=False, permuted=False)
        curves[family] = FEW, np.stack([one.val for one in found], axis=1)
        curves[f"{family}, training"] = FEW, np.stack([one.train for one in found], axis=1)
    shifts = {one.trial.family: (SHIFTS, one.shifted) for one in _shifted(learnt)}
    files = {name: out / f"{name}.png" for name in ("parameters", "images", "shifts", "kernels")}
    scale = {"logarithmic": True, "chance": chance}
    plot_scores(sizes, files["parameters"], x="parameters", **scale)
    plot_scores(curves, files["images"], x="particles learnt from", **scale)
    plot_scores(shifts, files["shifts"], x="shift of the window, px", chance=chance)
    [alexnet] = _of(learnt, ALEXNET)
    plot_kernels(alexnet.kernels, files["kernels"])
    told = (
        "scores by number of parameters, augmented",
        "scores by number of particles, not augmented",
        "scores where the window is shifted on the micrograph",
        "kernels of AlexNet's first layer",
    )
    return dict(zip(files.values(), told, strict=True))


def convolved(pixels: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """What a convolution without padding gives, (H - h + 1, W - w + 1), place by place.

    As in all such networks the kernel is not turned: it is a correlation.
    """
    height, width = kernel.shape
    found = np.zeros((pixels.shape[0] - height + 1, pixels.shape[1] - width + 1), pixels.dtype)
    for row, col in np.ndindex(found.shape):
        found[row, col] = (pixels[row : row + height, col : col + width] * kernel).sum()
    return found


def max_pooled(pixels: np.ndarray) -> np.ndarray:
    """The largest of each 2 x 2, (H / 2, W / 2); H and W are even."""
    height, width = pixels.shape
    return pixels.reshape(height // 2, 2, width // 2, 2).max(axis=(1, 3))


def _write(out: Path, learnt: Sequence[Learnt], told: dict, pictures: dict) -> dict[Path, str]:
    """The page, and the figures with what they were measured on."""
    html, figures = out / "lecture.html", out / "figures.json"
    facts = {**told, "trials": [one.row() for one in learnt]}
    facts |= {"versions": run_folder.versions(), "hardware": run_folder.hardware()}
    write_json(figures, facts, indent=2)
    write_text(html, _page(learnt, told, pictures))
    return {html: "the page that holds and explains it all", figures: "all scores"}


def _page(learnt: Sequence[Learnt], told: dict, pictures: dict[Path, str]) -> str:
    shown = [png_figure(path, f"{what[0].upper()}{what[1:]}.") for path, what in pictures.items()]
    judged = f"{told['val']} particles of {told['val_groups']} other micrographs or publications"
    if told["drawn"]:
        judged = f"{told['val']} other drawn particles"
    lede = INTRODUCTION.format(
        kinds=", ".join(KINDS), judged=judged, chance=1 / len(KINDS), seeds=told["seeds"]
    )
    answers = convolved(PIXELS, KERNEL)
    numbers = {"Image": PIXELS, "Kernel": KERNEL, "Convolved": answers}
    numbers["Max-pooled"] = max_pooled(answers)
    by_hand = "".join(
        f"<h3>{name}</h3>{plain_table([], [[f'{n:.0f}' for n in row] for row in array])}"
        for name, array in numbers.items()
    )
    sections = [Section("A convolution and max-pooling by hand", by_hand, note=BY_HAND)]
    bodies = [*shown[:3], _table([one for one in learnt if not one.trial.augmented])]
    sections += [
        Section(heading, body, note=f"{text[0].upper()}{text[1:]}")
        for (heading, text), body in zip(told["claims"].items(), bodies, strict=True)
    ]
    sections.append(Section("What the first layer looks for", shown[3]))
    sections.append(Section("All figures", _table(learnt)))
    title = "Deep convolutional networks and multilayer perceptrons"
    return page(title, kind="A lecture", lede=lede, sections=sections, runs_script=False)


def _table(learnt: Sequence[Learnt]) -> str:
    head = ["network", "parameters", "particles", "", "training", "others", "shifted by 4 px"]
    rows = [
        [
            _named(one.trial),
            f"{one.parameters:,}",
            str(one.trial.images),
            "augmented" if one.trial.augmented else "permuted" * one.trial.permuted,
            *(f"{s.mean():.3f}" for s in (one.train, one.val, one.shifted[:, FAR])),
        ]
        for one in learnt
    ]
    return plain_table(head, rows)


def _named(trial: Trial) -> str:
    widths = next(iter(trial.config.values()), ())
    return f"{trial.family} {'-'.join(map(str, widths))}".strip()
