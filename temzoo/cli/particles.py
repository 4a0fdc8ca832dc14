"""``temzoo particles``, ``classify`` and ``latent``: single particles, and models of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from temzoo.cli.common import (
    LabelsIfAny,
    Seed,
    Values,
    Weights,
    With,
    app,
    load_tensorflow,
    refuse_idle,
    trained,
)

# What `temzoo particles` measured and a latent space is coloured by.
COLOURED = ("class", "diameter_px", "diameter_nm", "aspect_ratio", "angle_deg")


@app.command()
def particles(
    images: Annotated[Path, typer.Option(help="Folder of micrographs.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("particles"),
    labels: LabelsIfAny = None,
    values: Values = "auto",
    weights: Annotated[
        str | None, typer.Option(help="Without labels: the run or weights that find them.")
    ] = None,
    with_: With = None,
    size: Annotated[int | None, typer.Option(help="Resize the windows to this side, px.")] = None,
    window_px: Annotated[float | None, typer.Option(help="Side of a window, px.")] = None,
    window_nm: Annotated[float | None, typer.Option(help="Side of a window, nm.")] = None,
    window_feret: Annotated[
        float | None, typer.Option(help="Side of a window by its particle's largest diameter.")
    ] = None,
    border: Annotated[
        str, typer.Option(help="Windows beyond the border: skip or mirror.")
    ] = "skip",
    mask_out: Annotated[
        bool, typer.Option(help="Replace other objects in a window by background.")
    ] = False,
    min_score: Annotated[
        float | None, typer.Option(help="Drop objects that score less; by default the model's own.")
    ] = None,
):
    """Cut single particles from labelled or predicted micrographs, centred, all in one window.

    Writes a TIFF of each with its calibration, particles.csv with what was measured of them, and
    particles.png, a sheet. It is what the VAE and, by the column class, classifiers learn from.
    What a model finds is cut as `temzoo predict` has it: without info bar, scale bar and letters.

    Example: temzoo particles --images micrographs --labels annotations.xml --size 32

    Example: temzoo particles --images micrographs --weights unet_mobilenet/emps --size 32
    """
    from temzoo.micrographs.listing import image_paths
    from temzoo.particles import cutting, store

    if (labels is None) == (weights is None):
        raise ValueError(
            "Particles are labelled or found by a model. Received:"
            f" {'neither' if labels is None else 'both'} of --labels and --weights. Give one."
        )
    if labels is not None:
        refuse_idle({"--min-score": min_score is not None}, "what --weights find")
    options = {"window_px": window_px, "window_nm": window_nm, "size": size}
    options |= {"window_feret": window_feret, "border": border, "mask_out": mask_out}
    if labels is not None:
        import temzoo

        examples = temzoo.load_dataset(images=images, labels=labels, values=values)
        found = cutting.cut_dataset(examples, **options)
    else:
        predicted = _predicted(weights, image_paths([images]), min_score)
        found = cutting.cut_predictions(predicted, **options)
    table = store.save(found, out)
    print(f"{found.summary()}: {table}, {out / store.SHEET}")


def _predicted(weights: str, paths: list[Path], min_score: float | None):
    """Each micrograph with what the model found, as ``temzoo predict`` does, one after another."""
    load_tensorflow()
    import temzoo
    from temzoo.inference.left_out import leave_out
    from temzoo.micrographs.drawn import Drawn

    model = trained(weights)
    for path in paths:
        micrograph, boxes = Drawn().of(temzoo.load_micrograph(path))
        if "picture" in (micrograph.calibration or ""):
            print(f"{path.name}: {micrograph.calibration}")
        found = temzoo.predict(model, micrograph, min_score=min_score, progress=True)
        yield micrograph, leave_out(found, boxes)


@app.command()
def classify(
    weights: Weights,
    images: Annotated[Path, typer.Option(help="Folder of particles, as they were cut.")],
    with_: With = None,
    out: Annotated[Path, typer.Option(help="Table to write.")] = Path("classes.csv"),
):
    """Tell the class of each particle, with its probability.

    For a classifier, such as dcnn. `temzoo evaluate` scores it where the classes are known.

    Example: temzoo classify runs/shapes --images particles --out classes.csv
    """
    load_tensorflow()
    from collections import Counter

    import temzoo
    from temzoo.core.writers import write_csv

    examples, _ = _particles(images)
    said = temzoo.classify(trained(weights), examples)
    names = [example.name for example in examples]
    rows = zip(names, said.found, said.probabilities.max(axis=1), strict=True)
    write_csv(out, ("name", "class", "probability"), rows)
    counts = ", ".join(f"{count} {name}" for name, count in Counter(said.found).most_common())
    print(f"{len(names)} images, {counts}: {out}")


def _particles(images: Path):
    """Cut particles, or the images of a folder, and what the table says of them."""
    from temzoo.data.pair_files import load_images
    from temzoo.particles import store

    return store.load(images) if (images / store.TABLE).is_file() else (load_images(images), {})


@app.command()
def latent(
    weights: Weights,
    images: Annotated[Path, typer.Option(help="Folder of particles, as they were cut.")],
    with_: With = None,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("latent"),
    limit: Annotated[int, typer.Option(help="Draw so many images at most.")] = 5000,
    seed: Seed = 0,
):
    """Draw a latent space: the decoded plane, the encoded images, each axis, reconstructions.

    For a VAE, or an autoencoder without skips. What `temzoo particles` measured (class, diameter,
    angle) colours the encoded images. Writes latent.html, a page that holds all of it, the pictures
    as PNG, codes.csv and figures.json.

    Example: temzoo latent runs/vae --images particles --out latent
    """
    load_tensorflow()
    import numpy as np

    from temzoo.data.images import image_array
    from temzoo.pages.latent_page import latent_report
    from temzoo.zoo.built import task_of

    model = trained(weights)
    size = task_of(model).latent_image_size(model)
    if size is None:
        raise ValueError(
            f"{weights} has no latent vector to look at. Train a vae, or an autoencoder with"
            " --set skips=False --set image_size=32 --set latent_dim=8."
        )
    examples, table = _particles(images)
    kept = np.sort(np.random.default_rng(seed).permutation(len(examples))[:limit])
    array = image_array([examples[i] for i in kept], size, model.input_shape[-1])
    values = {name: table[name][kept] for name in COLOURED if name in table}
    if "diameter_nm" in values:
        values.pop("diameter_px", None)
    names = [examples[i].name for i in kept]
    written = latent_report(
        model, array, out, values=values, names=names, title=f"Latent space of {weights}"
    )
    print("".join(f"{what}: {path}\n" for what, path in written.items()), end="")
