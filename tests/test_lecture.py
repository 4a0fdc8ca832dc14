"""The lecture: digits, two models, pictures of both, and one page that holds and explains them."""

import json
import re

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestNeighbors
from typer.testing import CliRunner

from temzoo import cli, latent
from temzoo.pictures import sheets
from temzoo.workflows import lecture_latent as module
from temzoo.workflows.lecture_latent import between_images, digits, from_nearest, lecture


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """The lecture after one epoch, its pictures at a third of their resolution."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sheets, "DPI", 50)
        return lecture(tmp_path_factory.mktemp("lecture"), epochs=1)


def test_digits_are_the_bundled_ones_each_pixel_drawn_four_times():
    data, bundle = digits(), load_digits()
    assert data.train.shape == (1347, 16, 16, 1)
    assert data.held_out.shape == (450, 16, 16, 1)
    both = np.concatenate([data.train, data.held_out])
    for row, col in ((0, 0), (0, 1), (1, 0), (1, 1)):
        again = both[:, row::2, col::2, 0] * 16
        assert sorted(map(bytes, again)) == sorted(map(bytes, bundle.images.astype(np.float32)))


def test_each_digit_is_held_out_in_its_share():
    data = digits()
    train, held_out = np.bincount(data.train_digits), np.bincount(data.held_out_digits)
    np.testing.assert_allclose(held_out / (train + held_out), 0.25, atol=0.01)


def test_both_models_are_scored_on_the_held_out_digits(given):
    rows = {row["model"]: row for row in given.rows}
    assert list(rows) == ["autoencoder", "VAE"]
    data = digits()
    for name, model in given.models.items():
        error = np.mean((np.asarray(model(data.held_out)) - data.held_out) ** 2)
        assert rows[name]["reconstruction error"] == pytest.approx(error, rel=1e-5)
        codes = [np.asarray(model.encode(part)[0]) for part in (data.train, data.held_out)]
        distance = ((codes[1][:, None] - codes[0]) ** 2).sum(axis=2)
        right = data.train_digits[distance.argmin(axis=1)] == data.held_out_digits
        assert rows[name]["1-NN accuracy"] == pytest.approx(right.mean(), abs=0.005)
    assert rows["autoencoder"]["KL"] is None
    assert rows["VAE"]["KL"] > 0


def test_every_file_is_written_and_named(given):
    names = [path.name for path in given.files]
    assert names[:2] == ["lecture.html", "figures.json"]
    assert {"manifold_vae.png", "manifold_autoencoder.png", "sevens.png"} < set(names)
    drawn = [path for path in given.files if path.suffix == ".png"]
    assert len(drawn) == 7
    for path in drawn:
        assert np.ptp(cv2.imread(str(path))) == 255
    told = json.loads((drawn[0].parent / "figures.json").read_text())
    assert told["models"] == list(given.rows)
    assert (told["epochs"], told["seed"]) == (1, 0)


def test_the_page_holds_every_picture_and_figure_and_fetches_nothing(given):
    page = next(iter(given.files)).read_text(encoding="utf-8")
    assert page.count('src="data:image/png;base64,') == 7
    assert not re.search(r"https?:|<script|<link", page)
    for row in given.rows:
        assert f'<th scope="row">{row["model"]}</th>' in page
        assert latent.comparison.in_figures(row["reconstruction error"]) in page


def test_between_two_images_the_codes_lie_on_a_straight_line(given):
    model, data = given.models["VAE"], digits()
    start, end = data.held_out[:2]
    drawn = between_images(model, start, end, 3)
    first, last = latent.encode_images(model, data.held_out[:2]).means
    middle = np.asarray(model.decode(((first + last) / 2)[None]))
    np.testing.assert_allclose(drawn[1], middle[0], atol=1e-5)
    np.testing.assert_allclose(drawn[[0, 2]], model(data.held_out[:2]), atol=1e-5)


def test_the_ends_are_two_unlike_sevens_and_a_one():
    data = digits()
    which = [
        int(data.held_out_digits[(data.held_out == e).all(axis=(1, 2, 3))][0])
        for e in module._ends(data)
    ]
    assert which == [7, 7, 1]
    first, second, _ = module._ends(data)
    assert np.abs(first - second).mean() > 0.1


def test_the_same_seed_gives_the_same_figures(given, tmp_path):
    again = module._trained("VAE", digits().train, 1, 0)
    for mine, theirs in zip(again.get_weights(), given.models["VAE"].get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_distance_from_the_nearest_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    pictures, known = rng.random((20, 4, 4, 1)), rng.random((50, 4, 4, 1))
    neighbours = NearestNeighbors(n_neighbors=1).fit(known.reshape(50, 16))
    distances, _ = neighbours.kneighbors(pictures.reshape(20, 16))
    assert from_nearest(pictures, known) == pytest.approx(np.mean(distances**2) / 16)
    assert from_nearest(known, known) == 0


def test_no_epoch_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"epochs must be at least 1\. Received: epochs=0\. Use"):
        lecture(tmp_path, epochs=0)


def test_the_command_hands_over_what_it_was_given(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "lecture", lambda out, **options: asked.append((out, options)))
    arguments = ["lecture", "--out", str(tmp_path), "--epochs", "3", "--seed", "2"]
    assert CliRunner().invoke(cli.app, arguments).exit_code == 0
    assert asked == [(tmp_path, {"epochs": 3, "seed": 2})]


def test_the_command_has_the_default_of_the_function():
    said = CliRunner().invoke(cli.app, ["lecture", "--help"], env={"COLUMNS": "200"}).output
    assert f"[default: {module.EPOCHS}]" in said
