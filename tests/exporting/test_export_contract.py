"""What the export of every registered model keeps; a new model is tested by being registered.

Exporting itself asks the SavedModel in a process without Keras and compares; here the result is
looked at by other ways.
"""

import importlib
import json
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from exporting_models import build, configs

import temzoo
from temzoo.deploy.exporting import (
    ExportError,
    assets,
    other_formats,
    saved_model,
    scenes,
    verify,
)
from temzoo.deploy.exporting.saved_model import signatures
from temzoo.tasks.endpoints import NORMALIZED, RAW
from temzoo.zoo import pretrained
from temzoo.zoo.built import task_of

export = importlib.import_module("temzoo.deploy.exporting.export")  # the module of the function
EVERY = {"serving_default", "serving_uint8", "serving_uint16", "serving_bytes", "describe"}
# An export is asked batches of 1, 2 and 7; here each architecture beside its golden image this one,
# as test_export.py asks a small network all of them.
TRIED = ((3, 33, 45),)
# Operations of the graphs that ONNX was found to answer for: of one kind, one is converted.
CONVERTED = []
ANSWERS = {
    "semantic": {"class_map", "probabilities"},
    "distance": {"class_map", "probabilities", "distance"},
    "instance": {"boxes", "classes", "scores", "masks", "count"},
    "boxes": {"boxes", "classes", "scores", "masks", "count"},
    "restoration": {"restored"},
    "generative": {"mean", "log_variance", "reconstruction"},
    "classification": {"class", "class_probabilities"},
}


@pytest.fixture(
    scope="module",
    params=list(configs()),
    ids=lambda one: (
        one[0]
        + ("-colour" if "colorize" in one[1].values() else "")
        + ("-invariant" if "rotation_invariant" in one[1] else "")
    ),
)
def exported(request, tmp_path_factory):
    name, config = request.param
    model = build(name, config)
    model.compile(optimizer="adam", loss=None)
    asked = {}
    with pytest.MonkeyPatch.context() as patch:
        # Its signatures are kept, as tracing them again takes longer than most of the tests.
        patch.setattr(export, "signatures", lambda model: asked.update(signatures(model)) or asked)
        patch.setattr(scenes, "questions", partial(questions, scenes.questions))
        folder = temzoo.export(model, tmp_path_factory.mktemp(name), version=3, name="served")
    return SimpleNamespace(
        model=model,
        asked=asked,
        task=temzoo.model_card(name).task,
        folder=folder,
        card=json.loads((folder / "assets.extra" / "temzoo.json").read_text()),
    )


def questions(asked, signatures, tried=TRIED):
    return asked(signatures, tried)


def test_a_version_has_all_signatures_with_the_answers_of_its_task(exported):
    assert exported.folder.name == "3"
    assert exported.folder.parent.name == "served"
    graph = saved_model.graph_of(exported.folder)
    names = {name for name in graph.signature_def if not name.startswith("__")}
    more = names - EVERY
    assert names >= EVERY
    assert more <= {NORMALIZED, "encode", "decode", "classify"}
    assert (NORMALIZED in more) == (exported.card["normalize"] is not None)
    for name in EVERY - {"describe"} | more & {NORMALIZED}:
        answers = set(saved_model.tensors(graph, name)[1])
        assert answers - {"pose"} == ANSWERS[exported.task]
        assert not any(answer.endswith("_bytes") for answer in answers)  # REST would code them


def test_variables_are_stored_once_and_the_optimizer_is_not(exported):
    data = exported.folder / "variables" / "variables.data-00000-of-00001"
    weights = sum(v.numpy().nbytes for v in exported.model.weights)
    names = 128 * len(exported.model.weights) + 2000
    assert 0.9 * weights < data.stat().st_size < weights + names


def test_any_loader_gives_the_models_answers(exported):
    """TensorFlow's own, in this process, on sizes and numbers that were not tried."""
    import tensorflow as tf

    loaded = tf.saved_model.load(exported.folder)
    endpoint = task_of(exported.model).endpoints(exported.model)[RAW]
    shape = endpoint.inputs["images"]
    images = scenes.scenes(shape, 3, 29, 50, "float32", seed=8)
    expected = scenes.answers(endpoint, {"images": images})
    found = loaded.signatures[RAW](images=tf.constant(images))
    apart = endpoint.compare(expected, {k: v.numpy() for k, v in found.items()})
    assert max(apart.values()) < 1e-4


def test_the_answer_is_not_always_the_same(exported):
    """Else agreement would mean nothing."""
    with np.load(exported.folder / "assets.extra" / "golden.npz") as golden:
        varied = [np.ptp(golden[name]) for name in golden.files if name != "count"]
    assert max(varied) > 1e-3


def test_the_card_tells_what_it_is_and_the_golden_files_are_those_it_names(exported):
    card = exported.card
    assert (card["name"], card["version"], card["task"]) == ("served", 3, exported.task)
    assert card["channels"] == exported.model.input_shape[-1]
    assert card["image_size"] == exported.model.input_shape[1]
    for name, sha256 in card["golden"].items():
        assert pretrained.sha256(exported.folder / "assets.extra" / name) == sha256


def test_warm_up_requests_parse_and_reach_every_signature(exported):
    requests = assets.warmup_requests(exported.folder / assets.FOLDER / assets.WARMUP)
    graph = saved_model.graph_of(exported.folder)
    assert {r.model_spec.signature_name for r in requests} == {
        name for name in graph.signature_def if not name.startswith("__")
    }
    assert {r.model_spec.name for r in requests} == {"served"}
    for request in requests:
        inputs = graph.signature_def[request.model_spec.signature_name].inputs
        assert {k: v.dtype for k, v in request.inputs.items()} == {
            k: v.dtype for k, v in inputs.items()
        }


def test_onnx_answers_the_same_or_is_refused_with_a_reason(exported, tmp_path):
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    kind = saved_model.operations(saved_model.graph_of(exported.folder).graph_def)
    if any(kind <= others for others in CONVERTED):
        return
    raw = exported.asked[RAW]
    if set(other_formats.UNFAITHFUL) & saved_model.operations(raw.function.graph.as_graph_def()):
        with pytest.raises(ExportError, match="Serve its SavedModel"):
            other_formats.check_convertible(raw)
        return
    path = tmp_path / "onnx" / "model.onnx"
    other_formats.write_onnx(raw, path)
    verify.check_file(path, "ONNX file", scenes.questions({RAW: raw}, scenes.TRIED[2:]))
    CONVERTED.append(kind)
