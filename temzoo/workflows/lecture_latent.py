"""For a lecture: the latent spaces of an autoencoder and of a VAE, trained on handwritten digits.

What ``temzoo lecture`` runs, on the handwritten digits that scikit-learn bundles (8 x 8 px, from
UCI's Optical Recognition of Handwritten Digits; here every pixel is drawn as 2 x 2). Both models
have a latent of two numbers, so that all of it can be drawn. A quarter of the digits is held out:
what is shown and scored of real digits is theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn
from scipy.spatial import cKDTree
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from temzoo import latent
from temzoo.core.files import write_json, write_text
from temzoo.latent.comparison import in_figures
from temzoo.pages.page import Section, page, plain_table, png_figure
from temzoo.pictures import latent_mosaics, latent_scatter
from temzoo.training import run_folder
from temzoo.workflows.demo_data import print_files
from temzoo.zoo.building import get_model

SIZE = 16
HELD_OUT = 0.25
EPOCHS = 100
AUTOENCODER, VAE = "autoencoder", "VAE"
# Widths at which both have about a hundred thousand weights.
MODELS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    AUTOENCODER: ("autoencoder", {"skips": False, "latent_dim": 2, "filters": 8}),
    VAE: ("vae", {"latent_dim": 2}),
}
SHOWN, OTHER = 7, 1  # the digit that is looked at, and the one it is turned into
COUNT = 12  # pictures in a row
SAMPLE_ROWS = 3
INTRODUCTION = """Both models press a handwritten digit of 16 x 16 pixels into two numbers, its
code, and draw it again from these. The autoencoder is asked for a good copy and nothing else. The
VAE, the variational autoencoder, gives each digit a small cloud of codes instead of a point, and
must draw the digit from a random point of it; it pays, in its KL divergence, for clouds that are
small or far from the middle. No model is ever told which digit it sees. What is encoded and scored
below was held out from the training."""
# A section each, in the order of the pictures; the table is last.
TEXTS = {
    "The whole latent space": """Each small picture is what the decoder draws at one point of the
plane. Find the digits 0 to 9 in the VAE's, and see how each turns into its neighbours. Since a
digit had to come out anywhere in its cloud, near points draw alike, and since the clouds are held
together, they leave little empty ground between them. The VAE's plane is laid out by its prior, the
normal distribution that the codes are held to: each picture stands for the same share of it. The
autoencoder has none, so its plane is stretched over its codes. Look there for pictures that are no
digit: nobody taught the decoder what to draw where no code lies.""",
    "Where the digits lie": """Each mark is an encoded digit, coloured by which it is. Look at the
axes: the VAE's codes lie around 0, about 1 wide, as the prior asks; place, width and shape of the
autoencoder's are chance, and another seed gives others. Digits that share strokes lie side by side
or on top of each other, because two numbers are few: eight tell the digits apart far better.""",
    "Digit 7, copied": """Two numbers keep what makes a digit a 7, and little of the hand that wrote
it: what comes back is a usual 7, and softer than the original. A bar through the stem, or an
unusual slant, is lost first.""",
    "From one 7 to another, and to a 1": """The codes of two digits, joined by a straight line,
decoded at even steps. Between two sevens there should be sevens. On the way from a 7 to a 1 the
line crosses the ground of what lies between them in the picture above. Where that is another digit,
the digit changes; where it is empty ground, what is drawn is no digit, or two at once.""",
    "Random codes": """This is what makes a model generative: draw two numbers from the normal
distribution, and decode. The VAE's codes were held to that distribution, so most of what comes is a
digit. The same numbers mean nothing to the autoencoder, which draws whatever it has there. As wide
as its codes, it does better; but between the codes there is ground where no digit was.""",
    "Figures": """Reconstruction error: mean squared difference per pixel. KL: what the code tells
of a digit, nats; only a VAE has it. Active units: numbers of the code that vary from digit to
digit. 1-NN accuracy: how often the nearest code of a training digit is of the same digit. From a
digit: mean squared difference per pixel from the training digit that is most like it, of copies, of
what is decoded in between the codes of two digits, and of what random codes give; the less it grows
from copies to random, the more of the latent space is made of digits.""",
}


@dataclass(frozen=True, eq=False)
class Digits:
    """scikit-learn's handwritten digits, some of them held out.

    Attributes:
        train, held_out: (N, 16, 16, 1) float32 in [0, 1].
        train_digits, held_out_digits: (N,) which they are, 0 to 9.
    """

    train: np.ndarray
    held_out: np.ndarray
    train_digits: np.ndarray
    held_out_digits: np.ndarray


@dataclass(frozen=True, eq=False)
class Lecture:
    """What was trained, found and drawn.

    Attributes:
        models: by name, "autoencoder" and "VAE".
        rows: their figures on the held-out digits, for ``latent.comparison_table``.
        files: what each file is, by its path; the page is the first.
    """

    models: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    files: Mapping[Path, str]


def digits() -> Digits:
    """The digits at 16 px, a quarter held out, always the same and as many of each digit."""
    bundle = load_digits()
    larger = np.kron(bundle.images / 16, np.ones((1, 2, 2))).astype(np.float32)[..., None]
    parts = train_test_split(
        larger, bundle.target, test_size=HELD_OUT, random_state=0, stratify=bundle.target
    )
    return Digits(*parts)


def lecture(out: str | Path = "lecture", *, epochs: int = EPOCHS, seed: int = 0) -> Lecture:
    """Trains an autoencoder and a VAE on digits, and draws their latent spaces beside each other.

    Writes ``lecture.html``, a page that holds every picture and says what is to be seen, the
    pictures as PNG, and ``figures.json``. Prints the figures and the files.

    Args:
        out: folder to write to.
        epochs: of each model; the default takes about two minutes in all on one core.
        seed: of weights, order and samples.

    Raises:
        ValueError: fewer than one epoch.
    """
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1. Received: epochs={epochs}. Use {EPOCHS}.")
    out, data = Path(out), digits()
    print(f"{len(data.train)} digits train, {len(data.held_out)} are held out.")
    models = {name: _trained(name, data.train, epochs, seed) for name in MODELS}
    encoded = {name: latent.encode_images(m, data.held_out) for name, m in models.items()}
    rows = [_figures(name, models[name], encoded[name], data, seed) for name in models]
    print("\n" + latent.comparison_table(rows) + "\n")
    pictures = _draw(models, encoded, data, out, seed)
    files = {**_write(out, rows, pictures, epochs, seed), **pictures}
    print_files(files)
    return Lecture(models, rows, files)


def _trained(name: str, pictures: np.ndarray, epochs: int, seed: int) -> Any:
    """A model that learnt to give the pictures back; one line tells how far it is."""
    registered, config = MODELS[name]
    keras.utils.set_random_seed(seed)
    model = get_model(registered, image_size=SIZE, **config)
    columns = Progress.get_default_columns()[:3]
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task(name, total=epochs)

        def advance(epoch, logs):
            bar.update(task, advance=1, description=f"{name}, loss {logs['loss']:#.3g}")

        told = keras.callbacks.LambdaCallback(on_epoch_end=advance)
        model.fit(pictures, pictures, epochs=epochs, verbose=0, callbacks=[told])
    return model


def _figures(
    name: str, model: Any, encoded: latent.Encoded, data: Digits, seed: int
) -> dict[str, Any]:
    """One row of the table, on the held-out digits."""
    codes, logs = encoded.means, encoded.log_variances
    train = latent.encode_images(model, data.train).means
    rng = np.random.default_rng(seed)
    between = rng.uniform(size=(len(codes), 1)) * (rng.permutation(codes) - codes) + codes
    drawn = {"copies": codes, "in between": between, "random": rng.normal(size=codes.shape)}
    errors = latent.reconstruction_error(model, data.held_out, encoded=encoded)
    return {
        "model": name,
        "reconstruction error": errors.mean,
        "KL": None if logs is None else float(latent.kl_per_dimension(codes, logs).sum()),
        "active units": int(latent.active_units(codes).sum()),
        "1-NN accuracy": latent.nearest_neighbour_accuracy(
            train, data.train_digits, codes, data.held_out_digits
        ),
        **{
            f"from a digit: {what}": from_nearest(latent.decode_codes(model, each), data.train)
            for what, each in drawn.items()
        },
    }


def from_nearest(pictures: np.ndarray, known: np.ndarray) -> float:
    """How far pictures (N, S, S, C) are from the known one most like each: mean square a pixel."""
    pictures, known = (p.reshape(len(p), -1).astype(np.float64) for p in (pictures, known))
    distances, _ = cKDTree(known).query(pictures)
    return float((distances**2).mean() / pictures.shape[1])


def _draw(
    models: Mapping[str, Any],
    encoded: Mapping[str, latent.Encoded],
    data: Digits,
    out: Path,
    seed: int,
) -> dict[Path, str]:
    """Every picture, in the page's order, and what it is."""
    found = {}
    for name, model in models.items():
        path = out / f"manifold_{name.lower()}.png"
        title = f"{name}: the plane decoded, {_spread(name)}"
        latent_mosaics.manifold(model, path, encoded=encoded[name], title=title)
        found[path] = f"what the {name} decodes all over its latent plane"
    for name in models:
        path = out / f"scatter_{name.lower()}.png"
        title = f"{name}: {len(data.held_out)} held-out digits, encoded"
        latent_scatter.scatter(
            encoded[name].means, path, data.held_out_digits, "digit", title=title
        )
        found[path] = f"where the {name} puts the held-out digits"
    for file, draw in (
        ("sevens.png", _draw_sevens),
        ("paths.png", _draw_paths),
        ("samples.png", _draw_samples),
    ):
        found[out / file] = draw(models, data, out / file, seed)
    return found


def _spread(name: str) -> str:
    return "at even shares of its prior" if name == VAE else "over the spread of its codes"


def _draw_sevens(models: Mapping[str, Any], data: Digits, path: Path, seed: int) -> str:
    sevens = data.held_out[data.held_out_digits == SHOWN][:COUNT]
    rows = [("original", sevens)]
    rows += [(name, latent.reconstruct(model, sevens)) for name, model in models.items()]
    latent_mosaics.strips(rows, path, title=f"Held-out digits {SHOWN}, and what comes back")
    return f"digit {SHOWN}: originals, and both reconstructions"


def _draw_paths(models: Mapping[str, Any], data: Digits, path: Path, seed: int) -> str:
    first, second, other = _ends(data)
    rows = []
    for start, end, what in ((first, second, f"{SHOWN} to {SHOWN}"), (first, other, "{} to {}")):
        what = what.format(SHOWN, OTHER)
        for name, model in models.items():
            between = between_images(model, start, end, COUNT - 2)
            rows.append((f"{what}, {name}", np.concatenate([start[None], between, end[None]])))
    title = "Straight lines in the latent plane, decoded (the two ends are the originals)"
    latent_mosaics.strips(rows, path, title=title)
    return f"what lies between two digits {SHOWN}, and between a {SHOWN} and a {OTHER}"


def _ends(data: Digits) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The most usual held-out 7, the 7 most unlike it, and the most usual 1."""
    sevens = data.held_out[data.held_out_digits == SHOWN]
    ones = data.held_out[data.held_out_digits == OTHER]
    usual = sevens[_distances(sevens, sevens.mean(axis=0)).argmin()]
    unlike = sevens[_distances(sevens, usual).argmax()]
    return usual, unlike, ones[_distances(ones, ones.mean(axis=0)).argmin()]


def _distances(pictures: np.ndarray, one: np.ndarray) -> np.ndarray:
    return ((pictures - one) ** 2).sum(axis=(1, 2, 3))


def between_images(model: Any, start: np.ndarray, end: np.ndarray, steps: int) -> np.ndarray:
    """What a model decodes between the codes of two images (S, S, C): (steps, S, S, C) float32.

    The codes lie at even steps of the straight line; those of the two images are among them.
    """
    first, last = latent.encode_images(model, np.stack([start, end])).means
    shares = np.linspace(0, 1, steps)[:, None]
    return latent.decode_codes(model, (1 - shares) * first + shares * last)


def _draw_samples(models: Mapping[str, Any], data: Digits, path: Path, seed: int) -> str:
    noise = np.random.default_rng(seed).normal(size=(SAMPLE_ROWS * COUNT, 2))
    codes = latent.encode_images(models[AUTOENCODER], data.train).means
    fitted = codes.mean(axis=0) + codes.std(axis=0) * noise
    drawn = {
        "VAE, of its prior": latent.decode_codes(models[VAE], noise),
        "autoencoder, the same": latent.decode_codes(models[AUTOENCODER], noise),
        "autoencoder, as wide\nas its codes": latent.decode_codes(models[AUTOENCODER], fitted),
    }
    rows = []
    for label, pictures in drawn.items():
        for k, row in enumerate(np.split(pictures, SAMPLE_ROWS)):
            rows.append((label if k == SAMPLE_ROWS // 2 else "", row))
    latent_mosaics.strips(rows, path, title="Random codes, decoded")
    return "what both decode from random codes"


def _write(
    out: Path,
    rows: Sequence[Mapping[str, Any]],
    pictures: Mapping[Path, str],
    epochs: int,
    seed: int,
) -> dict[Path, str]:
    """The page, and the figures with what they were measured on."""
    html, figures = out / "lecture.html", out / "figures.json"
    told = {"models": rows, "epochs": epochs, "seed": seed}
    told |= {"versions": run_folder.versions(), "hardware": run_folder.hardware()}
    write_json(figures, told, indent=2)
    write_text(html, _page(rows, pictures))
    return {html: "the page that holds and explains it all", figures: "the table's figures"}


def _page(rows: Sequence[Mapping[str, Any]], pictures: Mapping[Path, str]) -> str:
    shown = [png_figure(path, f"{what[0].upper()}{what[1:]}.") for path, what in pictures.items()]
    pairs = [f'<div class="pair">{"".join(shown[k : k + 2])}</div>' for k in (0, 2)]
    cells = [[row["model"], *map(in_figures, [*row.values()][1:])] for row in rows]
    bodies = [*pairs, *shown[4:], plain_table(list(rows[0]), cells)]
    sections = [
        Section(heading, body, note=text)
        for (heading, text), body in zip(TEXTS.items(), bodies, strict=True)
    ]
    return page(
        "Two numbers for a digit: an autoencoder and a VAE",
        kind="A lecture",
        lede=INTRODUCTION,
        sections=sections,
        runs_script=False,
    )
