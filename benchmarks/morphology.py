"""Are the kinds of outlines that ``temzoo measure`` tells right?

    python -m benchmarks morphology              # drawn particles and EMPS; five minutes
    python -m benchmarks morphology drawn        # particles that were drawn as of a kind
    python -m benchmarks morphology rules        # particles of EMPS, labelled by eye: the rules
    python -m benchmarks morphology classifier   # the same by a network that learns from the labels

Drawn: ``benchmarks.drawn_kinds``, 400 of each kind with equivalent diameters from 20 to 80 px,
evenly in their logarithm. The confusion is the share of those decided (not "unsure") that are
called another kind.

By eye: ``benchmarks/morphology.csv`` names 300 particles of EMPS of at least 20 px that the border
does not touch, from 218 publications, 198 of the training images and 102 of the validation ones.
They were drawn at random, publication by publication; in every second turn first one of three
groups (elongated, dented, others), so that rare outlines come up. One rater, a vision model shown
an enlarged crop of each with its outline, named them before the rules were written, by what
the particle is seen to be: sphere, round without corners; rod, half as long again as broad or more;
faceted, compact with straight edges; aggregate, several joined; irregular, the rest. Fifteen that
were cut or hidden by more than about a third were replaced. A second rater may differ: how far is
not known. The thresholds of the rules were set on drawn particles, beside the descriptors of the
training images' particles; those of the validation images were scored alone, so that the halves
stand apart.

Cohen's kappa: with "unsure" counting as wrong, and of those decided. 95 % intervals are bootstrap
percentiles over publications. The classifier is cross-validated in five folds of publications, on
windows as ``temzoo particles --border mirror`` cuts them of one micrograph, resized to 96 px: a
head on a frozen MobileNet. It has no "unsure".
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.progress import track

import temzoo
from benchmarks.datasets import Arguments, generated
from benchmarks.drawn_kinds import drawn
from benchmarks.recipes import Recipe, fitted_once
from temzoo.data.classes import tagged
from temzoo.data.splits import read_groups
from temzoo.evaluation import classification
from temzoo.evaluation.bootstrap import interval, resamples
from temzoo.measurement import load_instance_map
from temzoo.measurement.morphology import KINDS, UNSURE
from temzoo.particles.cutting import cut
from temzoo.zoo.built import class_names_of

TRUTH = Path(__file__).with_name("morphology.csv")
ANSWERS = (*KINDS, UNSURE)
COUNT, SEED, LEAST_PX, MOST_PX = 400, 2026, 20, 80
FOLDS, MODEL, SIZE = 5, "mobilenet", 96
SETTINGS = {"batch": 32, "epochs": 15, "class_weights": "balanced", "seed": 0}
Row = Mapping[str, str]


def of_drawn(arguments: Arguments) -> dict[str, Any]:
    """The confusion on drawn particles."""
    rng, count = np.random.default_rng(SEED), 10 if arguments.quick else COUNT
    true = [kind for kind in KINDS for _ in range(count)]
    found = []
    for kind in track(true, "drawn particles"):
        mask = drawn(kind, LEAST_PX * (MOST_PX / LEAST_PX) ** rng.random(), rng).astype(np.int32)
        table = temzoo.measure(temzoo.Prediction(mask.astype(np.uint8), mask))
        found += table["morphology"].tolist()
    told = {"about": f"{len(true):,} drawn particles of 20 to 80 px", "seed": SEED}
    dataset = generated("benchmarks.drawn_kinds", mask)
    return told | {"dataset": dataset, "figures": {"all": agreement(true, found, range(len(true)))}}


def by_eye() -> list[Row]:
    return pd.read_csv(TRUTH, dtype=str).to_dict("records")


def of_rules(arguments: Arguments) -> dict[str, Any]:
    """What the rules say of the particles that were labelled by eye."""
    folder, rows = arguments.data_folder / "emps", by_eye()
    said: dict[tuple[str, str], str] = {}
    for name in track(sorted({row["name"] for row in rows}), "EMPS"):
        table = temzoo.measure(load_instance_map(next((folder / "segmaps").glob(f"{name}.*"))))
        pairs = zip(table["particle"].astype(str), table["morphology"], strict=True)
        said |= {(name, number): kind for number, kind in pairs}
    return told_of(rows, [said[row["name"], row["particle"]] for row in rows], folder, "rules")


def of_classifier(arguments: Arguments) -> dict[str, Any]:
    """What classifiers say that learnt from the labels of other publications."""
    folder, rows = arguments.data_folder / "emps", by_eye()
    groups = read_groups(folder / "groups.csv")
    examples = [example_of(row, folder, groups[row["name"]]) for row in track(rows, "EMPS")]
    names = np.random.default_rng(0).permutation(sorted({one.group for one in examples}))
    fold_of = {name: k % FOLDS for k, name in enumerate(names)}
    folds = np.array([fold_of[one.group] for one in examples])
    found = np.full(len(rows), "", object)
    for fold in range(FOLDS):
        parts = [np.flatnonzero(part) for part in _parts(folds, fold)]
        found[parts[-1]] = answers(*([examples[k] for k in part] for part in parts))
    how = {"model": MODEL, "settings": SETTINGS}
    return told_of(rows, found.tolist(), folder, "classifier") | how


def _parts(folds: np.ndarray, fold: int) -> tuple[np.ndarray, ...]:
    """Which particles train, choose the epoch, and are judged."""
    judged, chosen = folds == fold, folds == (fold + 1) % FOLDS
    return ~(judged | chosen), chosen, judged


def example_of(row: Row, folder: Path, group: str) -> temzoo.Example:
    """The window of a particle, as ``temzoo particles`` cuts those of its micrograph."""
    micrograph = temzoo.load_micrograph(folder / "images" / f"{row['name']}.png")
    instances = load_instance_map(next((folder / "segmaps").glob(f"{row['name']}.*"))).instances
    particles = cut(micrograph, instances, size=SIZE, border="mirror")
    [image] = [one.image for one in particles if one.instance == int(row["particle"])]
    labels = temzoo.LabelledImage(image.name, image.width, image.height)
    return tagged(temzoo.Example(labels, lambda: image, group), row["kind"])


def answers(learn: Sequence, choose: Sequence, judge: Sequence) -> list[str]:
    """The kinds of the last examples, by a network that the others trained."""
    config = {"classes": len(KINDS), "image_size": SIZE}
    best, _ = fitted_once(Recipe("kinds", "emps", MODEL, config, SETTINGS), learn, choose)
    names = class_names_of(best)
    return [names[k] for k in classification.class_probabilities(best, judge).argmax(axis=1)]


def told_of(rows: Sequence[Row], found: Sequence[str], folder: Path, how: str) -> dict[str, Any]:
    """The agreement of all, and of the training and validation images apart."""
    groups, figures = read_groups(folder / "groups.csv"), {}
    for half in ("all", "train", "val"):
        at = [k for k, row in enumerate(rows) if half in ("all", row["half"])]
        truth = [rows[k]["kind"] for k in at]
        names = [groups[rows[k]["name"]] for k in at]
        figures[half] = agreement(truth, [found[k] for k in at], names)
    about = f"{how} on {len(rows)} particles of EMPS, labelled by eye"
    return {"about": about, "seed": 0, "figures": figures}


def agreement(truth: Sequence[str], found: Sequence[str], groups: Sequence) -> dict[str, Any]:
    """Kappa with and without the undecided ones, the confusion, and how many were undecided."""
    pair = (np.array([ANSWERS.index(one) for one in part]) for part in (truth, found))
    matrices = classification.confusions_of_groups(*pair, groups, len(ANSWERS))
    weights = resamples(len(matrices), 1000, 0)
    sums = (weights @ matrices.reshape(len(matrices), -1)).reshape(-1, *matrices.shape[1:])
    decided = sums[:, :-1, :-1]
    wrong = 1 - np.trace(decided, axis1=1, axis2=2) / np.maximum(decided.sum(axis=(1, 2)), 1)
    shares = {
        "kappa": classification.cohens_kappa(sums),
        "kappa_of_decided": classification.cohens_kappa(decided),
        "confusion_of_decided": wrong,
        "unsure": sums[:, :, -1].sum(axis=1) / np.maximum(sums.sum(axis=(1, 2)), 1),
    }
    rows = zip(KINDS, sums[0].tolist(), strict=False)  # no particle is unsure by truth
    table = {kind: dict(zip(ANSWERS, row, strict=True)) for kind, row in rows}
    figures = {name: vars(interval(values)) for name, values in shares.items()}
    return figures | {"particles": len(truth), "groups": len(matrices), "confusion": table}


MEASUREMENTS = {"drawn": of_drawn, "rules": of_rules, "classifier": of_classifier}
