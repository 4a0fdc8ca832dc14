"""Model → DIR/NAME/VERSION, checked, and what a server needs beside it."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import keras
import tensorflow as tf

from temzoo.deploy.exporting import (
    assets,
    deployment,
    other_formats,
    saved_model,
    scenes,
    verify,
    versions,
)
from temzoo.deploy.exporting.saved_model import (
    DESCRIBE,
    ExportError,
    Signature,
    describing,
    signatures,
)
from temzoo.models.layers import require_tensorflow
from temzoo.tasks.endpoints import RAW
from temzoo.zoo.built import built

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no space, no more of one's share, or of a file


def export(
    model: keras.Model,
    directory: str | Path,
    version: int | None = None,
    *,
    name: str | None = None,
    onnx: bool = False,
    openvino: bool = False,
) -> Path:
    """Writes a model for TensorFlow Serving, and makes sure that it answers as it should.

    The SavedModel is asked in a fresh process without Keras, through the loader that the server is
    built on: every signature, batches of 1, 2 and 7, odd sizes. Its answers must equal the model's
    within 1e-4 (of their range, where that is more than 1). Else nothing is left behind.

    Args:
        model: from ``get_model``.
        directory: of all models of a server; made when absent.
        version: a server offers the highest by itself. One that exists is never replaced; None: the
            number after the highest.
        name: that the model is served by; None: as ``get_model`` calls it.
        onnx: also write ``onnx/model.onnx`` into the version, checked likewise.
        openvino: also write ``openvino/model.xml``, from ONNX, checked likewise.

    Returns:
        ``directory/name/version``. ``SERVING.md`` beside the models tells how to serve them.

    Raises:
        ValueError: a name or version that cannot be served, or a model not from ``get_model``.
        FileExistsError: the version exists; the next free one is named.
        ExportError: the export does not answer as the model does.
        ImportError: the packages for ONNX or OpenVINO are missing; the command is named.
        RuntimeError: Keras does not compute by TensorFlow.

    Example:
        >>> temzoo.export(temzoo.get_model("unet_mobilenet", weights="emps"), "served")
        PosixPath('served/unet_mobilenet/1')
    """
    require_tensorflow("temzoo export")
    name = built(model).name if name is None else name
    versions.check_name(name)
    home = Path(directory) / name
    version = versions.next_free(home) if version is None else version
    versions.check_version(version)
    for extra, wanted in (("onnx", onnx), ("openvino", openvino)):
        if wanted:
            other_formats.check_installed(extra)
    if Path(directory).is_dir():
        deployment.write(Path(directory))  # what an export that was killed at its very end left out
    try:
        with versions.staged(home, version) as folder:
            _write(model, folder, name, version, (onnx, openvino))
    except (tf.errors.OpError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in FULL:
            raise
        why = getattr(error, "message", str(error)).splitlines()[0]
        raise ExportError(
            f"The export must be written whole. Received: {why}. Nothing"
            f" is left in {home}: check the free space of its disk, and export again."
        ) from error
    deployment.write(Path(directory))
    return home / str(version)


def _write(
    model: keras.Model, folder: Path, name: str, version: int, others: tuple[bool, bool]
) -> None:
    """Fills and checks the folder of a version."""
    asked = signatures(model)
    if any(others):
        other_formats.check_convertible(asked[RAW])
    told = assets.card(model, asked, name, version)
    asked[DESCRIBE] = describing(json.dumps(told, default=str, ensure_ascii=False))
    golden = assets.golden(asked)
    saved_model.write(asked, folder)
    assets.write(folder, told, golden)
    questions = [*golden, *scenes.questions(asked)]
    verify.check_saved_model(folder, questions)
    if any(others):
        _write_others(asked[RAW], folder, [q for q in questions if q.signature == RAW], *others)


def _write_others(
    signature: Signature, folder: Path, questions: list, onnx: bool, openvino: bool
) -> None:
    path = folder / other_formats.ONNX
    other_formats.write_onnx(signature, path)
    verify.check_file(path, "ONNX file", questions)
    if openvino:
        converted = folder / other_formats.OPENVINO
        other_formats.write_openvino(path, converted)
        verify.check_file(converted, "OpenVINO file", questions)
    if not onnx:
        path.unlink()
        path.parent.rmdir()
