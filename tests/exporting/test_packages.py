"""Packages for model zoos: BioImage.IO's, whose ONNX answers its tensors, and a hub's folder."""

import io
import json
import zipfile

import numpy as np
import pytest
import yaml
from exporting_models import build

import temzoo
from temzoo.cli.exporting import app
from temzoo.deploy.exporting import other_formats, scenes, verify
from temzoo.deploy.exporting.bioimage_package import write_package
from temzoo.deploy.exporting.model_folder import write_folder
from temzoo.deploy.exporting.readme import public_card
from temzoo.zoo.pretrained import WeightsCard, sha256


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """(files by name, description) of a small model's package."""
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    model = build("unet", {"filters": 2, "depth": 1, "classes": 3})
    path = tmp_path_factory.mktemp("packages") / "small.zip"
    assert write_package(model, path, authors=["A. Author"]) == path
    with zipfile.ZipFile(path) as file:
        files = {name: file.read(name) for name in file.namelist()}
    return files, yaml.safe_load(files["rdf.yaml"])


def test_the_onnx_file_of_a_package_answers_its_test_tensors(package):
    import onnxruntime

    files, told = package
    (given,), outputs = told["inputs"], told["outputs"]
    session = onnxruntime.InferenceSession(files[told["weights"]["onnx"]["source"]])
    images = np.load(io.BytesIO(files[given["test_tensor"]["source"]]))
    found = session.run(None, {session.get_inputs()[0].name: images})
    assert [each["id"] for each in outputs] == ["class_map", "probabilities"]
    for output, answer in zip(outputs, found, strict=True):
        expected = np.load(io.BytesIO(files[output["test_tensor"]["source"]]))
        np.testing.assert_allclose(answer, expected, atol=verify.TOLERANCE)
        assert expected.dtype.name == output["data"]["type"]
        assert expected.ndim == len(output["axes"])


def test_a_package_describes_its_tensors_and_hashes_its_files(package):
    files, told = package
    assert (told["type"], told["format_version"][:3]) == ("model", "0.5")
    assert told["authors"] == [{"name": "A. Author"}]
    assert told["cite"][0]["doi"] == "10.1007/978-3-319-24574-4_28"
    batch, rows, columns, channels = told["inputs"][0]["axes"]
    assert (batch["type"], rows["id"], columns["id"]) == ("batch", "y", "x")
    assert rows["size"] == {"min": min(min(e) for _, *e in scenes.TRIED), "step": 1}
    assert len(channels["channel_names"]) == 1
    assert told["outputs"][0]["axes"][1]["size"] == {"tensor_id": "images", "axis_id": "y"}
    assert len(told["outputs"][1]["axes"][3]["channel_names"]) == 3
    assert "license" not in told  # weights that no card tells of
    assert "## Validation" in files["README.md"].decode()
    parts = [told["weights"]["onnx"], *(t["test_tensor"] for t in told["inputs"] + told["outputs"])]
    assert {"README.md", "rdf.yaml", *(each["source"] for each in parts)} == files.keys()


def test_a_package_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    model = build("unet", {"filters": 2, "depth": 1})
    with pytest.raises(ValueError, match=r'is a ZIP file. Received: .*a.tar. Name it "a.zip"'):
        write_package(model, tmp_path / "a.tar")
    with pytest.raises(ValueError, match=r"5 to 128 letters.*Received: name='a/b'"):
        write_package(model, tmp_path / "a.zip", name="a/b")
    monkeypatch.setattr(other_formats, "EXTRAS", {"onnx": ("not_there",)})
    with pytest.raises(ImportError, match=r"no not_there"):
        write_package(model, tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []


def test_models_that_do_not_answer_for_each_pixel_have_no_package(tmp_path, monkeypatch):
    model = build("mlp", {"hidden": (8,), "image_size": 16})
    monkeypatch.setattr(other_formats, "EXTRAS", {"onnx": ()})
    with pytest.raises(ValueError, match=r"answer for each pixel\. Received: .* Export it for"):
        write_package(model, tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_shipped_weights_loads_as_its_readme_says(tmp_path):
    folder = write_folder("unet/emps-fast", tmp_path / "hub")
    names = ["README.md", "unet-emps-fast.json", "unet-emps-fast.weights.h5"]
    assert sorted(path.name for path in folder.iterdir()) == names
    _, head, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    front = yaml.safe_load(head)
    assert (front["license"], front["library_name"]) == ("mit", "keras")
    (result,) = front["model-index"][0]["results"]
    card = temzoo.model_card("unet").weights["emps-fast"]
    assert result["metrics"] == [{"type": "iou", "value": card.scores["iou"]}]
    assert 'temzoo.get_model("unet", weights="unet-emps-fast.weights.h5")' in text
    assert sha256(folder / names[2]) == card.sha256
    assert temzoo.get_model("unet", weights=folder / names[2], compile=False).name


def test_a_folder_is_new_and_its_weights_are_those_of_their_card(tmp_path):
    folder = write_folder("unet/emps-fast", tmp_path / "hub")
    with pytest.raises(FileExistsError, match="must be a new one, or empty"):
        write_folder("unet/emps-fast", folder)
    weights = folder / "unet-emps-fast.weights.h5"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is damaged or not the file of its card"):
        write_folder(weights, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_public_card_tells_of_no_folders():
    card = WeightsCard(
        "unet", {"filters": 2}, dataset="/home/me/gold", command="temzoo train unet /home/me/gold"
    )
    assert public_card(card).dataset == "gold"
    assert public_card(card).command == "temzoo train unet gold"
    assert "/home" not in json.dumps(public_card(card).__dict__)


def test_export_says_where_to_and_what_belongs_to_what(tmp_path, capsys):
    with pytest.raises(ValueError, match=r"told where to.*Type: temzoo export unet/emps served"):
        app(["export", "unet/emps"], standalone_mode=False)
    with pytest.raises(ValueError, match=r"--author is of --bioimageio.*one without that"):
        app(["export", "unet/emps", str(tmp_path), "--author", "A"], standalone_mode=False)
    folder = tmp_path / "hub"
    asked = ["export", "unet/emps-fast", "--huggingface", str(folder)]
    for more in (["--name", "mine"], ["--set", "filters=8"]):
        with pytest.raises(ValueError, match=r"takes weights and card as they are\. Received:"):
            app([*asked, *more], standalone_mode=False)
    assert not folder.exists()
    app(asked, standalone_mode=False)
    assert f"{folder}: weights, card and README.md" in capsys.readouterr().out
