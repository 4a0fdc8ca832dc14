"""A package for the BioImage Model Zoo: description, ONNX file, test tensors and README in a ZIP.

The description, rdf.yaml, is of bioimage.io's model format 0.5
(https://bioimage-io.github.io/spec-bioimage-io). The network normalises, pads and crops by itself,
so there is neither pre- nor postprocessing, and images of any size from ``min`` on are taken.
"""

from __future__ import annotations

import datetime
import re
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import yaml

from temzoo.core.files import atomic_path
from temzoo.deploy.exporting import other_formats, scenes, verify
from temzoo.deploy.exporting.readme import is_shipped, public_card, readme
from temzoo.deploy.exporting.saved_model import Signature, signatures
from temzoo.models.layers import require_tensorflow
from temzoo.tasks.endpoints import IMAGES, OUTPUTS, RAW
from temzoo.zoo.built import Built, built
from temzoo.zoo.cards import model_card
from temzoo.zoo.pretrained import WeightsCard, sha256

FORMAT = "0.5.4"  # the first whose consumers may tolerate single pixels, of those before 0.6
RDF, README, WEIGHTS = "rdf.yaml", "README.md", "weights.onnx"
AUTHORS = ("The temzoo authors",)  # of shipped weights
MODALITY = "electron microscopy"
# Of a million pixels, how many may have another class elsewhere: where two are equally likely.
OTHER_CLASS_PPM = 1000
LEAST_PX = min(edge for _, *edges in scenes.TRIED for edge in edges)  # that is tried
SPDX = re.compile(r"[A-Za-z0-9.+-]+")
DOI, ARXIV = re.compile(r"doi:(10\.\d+/[^\s;,]+)"), re.compile(r"arXiv:(\d{4}\.\d{4,5})")
USE_TEXT = """\
```python
from bioimageio.core import predict

answer = predict(model="{file}", inputs={{"images": image}})
```

`image` is float32 (batch, y, x, channel): the numbers as the microscope stored them, which the
network normalises by itself. The outputs are {outputs}."""


def write_package(
    model: keras.Model, path: str | Path, *, name: str | None = None, authors: Sequence[str] = ()
) -> Path:
    """Writes the package, whole or not at all, once its ONNX file answers as the model does.

    Args:
        model: from ``get_model``, one that answers for each pixel.
        path: of the ZIP.
        name: in letters, digits, "_", "+", "-", "(", ")" and spaces, of 5 to 128; None: that of the
            architecture.
        authors: names of who made the weights; by default temzoo's, of shipped weights, else none.

    Returns:
        the path.

    Raises:
        ValueError: the path is of no ZIP; the format takes no such name; the model gives something
            else than an answer for each pixel.
        ExportError: ONNX lacks what the model does, or answers otherwise.
        ImportError: the packages for ONNX are missing; the command is named.
    """
    require_tensorflow("temzoo export")
    path, how = Path(path), built(model)
    name = f"temzoo {how.name}" if name is None else name
    _check(path, name)
    other_formats.check_installed("onnx")
    raw = signatures(model)[RAW]
    other_formats.check_convertible(raw)
    (golden,) = scenes.questions({RAW: raw}, (scenes.GOLDEN,))
    _require_pixels(golden)
    with tempfile.TemporaryDirectory(prefix="temzoo-") as made:
        folder = Path(made)
        onnx = folder / WEIGHTS
        other_formats.write_onnx(raw, onnx)
        verify.check_file(onnx, "ONNX file", [golden, *scenes.questions({RAW: raw})])
        arrays = {IMAGES: golden.inputs[IMAGES]}
        arrays |= {output: golden.expected[output] for output in other_formats.outputs_of(onnx)}
        for key, array in arrays.items():
            np.save(folder / f"{key}.npy", array)
        card = public_card(how.weights or WeightsCard(how.name, how.config, how.class_names))
        use = USE_TEXT.format(file=path.name, outputs=_listed(arrays))
        (folder / README).write_text(readme(card, name, use), encoding="utf-8")
        told = {
            **_about(how, card, name, tuple(authors)),
            **_tensors(arrays, raw, folder, how),
            "weights": {"onnx": {**_file(onnx), "opset_version": other_formats.OPSET}},
        }
        told["config"]["bioimageio"]["model_parameter_count"] = model.count_params()
        text = yaml.safe_dump(told, sort_keys=False, allow_unicode=True)
        (folder / RDF).write_text(text, encoding="utf-8")
        with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as package:
            for file in sorted(folder.iterdir()):
                package.write(file, file.name, zipfile.ZIP_DEFLATED)
    return path


def _check(path: Path, name: str) -> None:
    if path.suffix.lower() != ".zip":
        raise ValueError(
            f'A BioImage.IO package is a ZIP file. Received: {path}. Name it "{path.stem}.zip".'
        )
    if not re.fullmatch(r"[A-Za-z0-9_+\-() ]{5,128}", name):
        raise ValueError(
            "The name of a BioImage.IO model has 5 to 128 letters, digits, spaces, '_', '+', '-' or"
            f' brackets. Received: name={name!r}. Use "particles of gold", for instance.'
        )


def _require_pixels(golden: scenes.Question) -> None:
    images = golden.inputs[IMAGES]
    for name, array in golden.expected.items():
        if array.ndim not in (3, 4) or array.shape[:3] != images.shape[:3]:
            raise ValueError(
                "A BioImage.IO package is of models that answer for each pixel. Received: a model"
                f" whose {name} has shape {array.shape} for images of {images.shape}. Export it for"
                " TensorFlow Serving, temzoo export RUN DIR."
            )


def _about(how: Built, card: WeightsCard, name: str, authors: tuple[str, ...]) -> dict[str, Any]:
    """What the description says beside the tensors and the weights."""
    about = model_card(how.name)
    authors = authors or (AUTHORS if is_shipped(card) else ())
    licence = {"license": card.licence} if SPDX.fullmatch(card.licence) else {}
    exact = {"absolute_tolerance": 0.0, "mismatched_elements_per_million": OTHER_CLASS_PPM}
    near = {"absolute_tolerance": verify.TOLERANCE, "relative_tolerance": 1e-3}
    return {
        "format_version": FORMAT,
        "type": "model",
        "name": name,
        "description": f"{about.summary}; {MODALITY}"[:512],
        "authors": [{"name": author} for author in authors],
        "cite": [*_cited(about.paper), *_cited(card.dataset)],
        **licence,
        "documentation": README,
        "tags": [MODALITY, about.task, about.name, "2d", "keras", "temzoo"],
        "timestamp": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "config": {
            "bioimageio": {
                "modality": MODALITY,
                "reproducibility_tolerance": [{**exact, "output_ids": ["class_map"]}, near],
            },
        },
    }


def _cited(text: str) -> list[dict[str, str]]:
    """Papers with a DOI or arXiv id, of a text that parts them by ";"."""
    found = []
    for part in text.split(";"):
        if match := DOI.search(part):
            found.append({"text": part.strip(), "doi": match[1]})
        elif match := ARXIV.search(part):
            found.append({"text": part.strip(), "url": f"https://arxiv.org/abs/{match[1]}"})
    return found


def _tensors(
    arrays: dict[str, np.ndarray], raw: Signature, folder: Path, how: Built
) -> dict[str, list[dict[str, Any]]]:
    """The input and the outputs, as the format describes them."""
    sizes: list[Any] = [
        {"min": LEAST_PX, "step": 1} if size is None else size
        for size in raw.endpoint.inputs[IMAGES][:2]
    ]
    found = []
    for name, array in arrays.items():
        if name != IMAGES:
            sizes = [{"tensor_id": IMAGES, "axis_id": axis} for axis in "yx"]
        axes: list[dict[str, Any]] = [{"type": "batch"}]
        axes += [
            {"type": "space", "id": axis, "size": size}
            for axis, size in zip("yx", sizes, strict=True)
        ]
        if array.ndim == 4:
            axes.append({"type": "channel", "channel_names": _channels(name, array, how)})
        found.append(
            {
                "id": name,
                "description": OUTPUTS.get(name, "raw pixels, as the microscope stored them"),
                "axes": axes,
                "test_tensor": _file(folder / f"{name}.npy"),
                "data": {"type": array.dtype.name},
            }
        )
    return {"inputs": found[:1], "outputs": found[1:]}


def _channels(name: str, array: np.ndarray, how: Built) -> list[str]:
    """Names of the last axis: the classes', where it is one of them."""
    names = ["background", *how.class_names]
    if name != IMAGES and array.shape[-1] == len(names):
        return names
    return [f"channel{number}" for number in range(array.shape[-1])]


def _file(path: Path) -> dict[str, str]:
    return {"source": path.name, "sha256": sha256(path)}


def _listed(arrays: dict[str, np.ndarray]) -> str:
    """The outputs with what they are."""
    outputs = [name for name in arrays if name != IMAGES]
    return "; ".join(f"`{name}`, {OUTPUTS[name]}" if name in OUTPUTS else name for name in outputs)
