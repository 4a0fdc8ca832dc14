"""The command line: the whole path on a small synthetic set, and errors of one line."""

import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

import temzoo
from temzoo import cli
from temzoo.data.pairs import degraded
from temzoo.data.synthetic.synthesize import write_dataset, write_tiff
from temzoo.zoo import cards

RUNNER = CliRunner()


def call(*arguments, status=0):
    result = RUNNER.invoke(cli.app, [str(a) for a in arguments])
    assert result.exit_code == status, result.output + repr(result.exception)
    return result.output


@pytest.fixture(autouse=True)
def small_steps(eager_steps):
    """Of the trainings of single tests; those of the fixtures step in a graph, as users' do."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), n=5, size=160, n_particles=5)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    images, labels = data
    folder = tmp_path_factory.mktemp("runs") / "first"
    said = call(
        *("train", "unet", "--images", images, "--labels", labels, "--out", folder),
        *("--set", "filters=4", "--set", "depth=1", "--epochs", 1, "--steps", 2),
        *("--batch", 2, "--crop", 32, "--val", 0.4),
    )
    assert "3 images to learn from, 2 to choose the best epoch by" in said
    assert "best validation IoU" in said
    assert "stopped" not in said
    assert f"found and missed: {folder / 'validation.png'}" in said
    assert f"next: temzoo evaluate {folder} --images {images} --labels {labels}" in said
    return folder


def test_train_writes_a_run(run):
    told = json.loads((run / "run.json").read_text())
    assert told["config"]["filters"] == 4
    assert told["class_names"] == ["particle"]
    assert (told["data"]["train"]["images"], told["data"]["val"]["images"]) == (3, 2)


def test_ctrl_c_before_the_first_epoch_claims_no_score(data, tmp_path, monkeypatch):
    from temzoo.training import loop

    def interrupt(self, epoch, logs=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop._EndOfEpoch, "on_epoch_begin", interrupt)
    said = call(
        *("train", "unet", "--images", data[0], "--labels", data[1], "--out", tmp_path / "run"),
        *("--set", "filters=2", "--set", "depth=1", "--crop", 32, "--steps", 1, "--batch", 1),
    )
    assert "stopped before an epoch ended: no weights yet" in said
    assert "best validation IoU" not in said


def test_evaluate_a_run(run, data, tmp_path):
    images, labels = data
    said = call("evaluate", run, "--images", images, "--labels", labels, "--out", tmp_path)
    assert "iou" in said
    assert {p.name for p in tmp_path.iterdir()} == {"images.csv", "figures.json", "overlays.png"}
    assert json.loads((tmp_path / "figures.json").read_text())["images"] == 2
    assert "scoring the 2 validation images of the run" in said


def test_a_run_remembers_how_its_labels_were_read(data, tmp_path):
    images, masks, folder = data[0], tmp_path / "masks", tmp_path / "run"
    call("labels", "convert", data[1], masks, "--to", "masks", "--kind", "instances")
    where = ("--images", images, "--labels", masks)
    call(
        *("train", "unet", *where, "--values", "instances", "--rename", "particle=rod"),
        *("--out", folder),
        *("--set", "filters=2", "--set", "depth=1", "--epochs", 1, "--steps", 1),
        *("--batch", 1, "--crop", 32, "--val", 0.4),
    )
    told = json.loads((folder / "run.json").read_text())
    assert told["class_names"] == ["rod"]
    assert told["labels"] == {"values": "instances", "rename": {"particle": "rod"}, "merge": {}}
    said = call("evaluate", folder, *where, "--out", tmp_path / "scores")
    assert "score the model's class" not in said
    assert json.loads((tmp_path / "scores" / "figures.json").read_text())["classes"] == ["rod"]
    assert "labels of other score the model's class rod" in call(
        "evaluate", folder, *where, "--rename", "particle=other"
    )
    assert "report: " in call("report", folder, *where, "--out", tmp_path / "r.html")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("evaluate RUN --fit-names n.csv LABELLED", "--fit-names is for what is fitted here"),
        (
            "evaluate RUN --limit 2 LABELLED",
            r"--limit is for .* Received: --limit without\. Leave it out\.",
        ),
        ("evaluate otsu --set filters=4 LABELLED", "--set is for networks"),
        ("particles --min-score 0.5 LABELLED", "--min-score is for what --weights find"),
        ("predict RUN IMAGES --calibration IMAGES", "--calibration is for --precision int8"),
        ("predict RUN IMAGES --shapes masks", "--shapes is for labels, such as --format cvat"),
    ],
)
def test_options_that_would_change_nothing_are_refused(words, error, run, data, tmp_path):
    images, labels = map(str, data)
    meant = {"RUN": [str(run)], "IMAGES": [images]}
    meant["LABELLED"] = ["--images", images, "--labels", labels]
    asked = [word for one in words.split() for word in meant.get(one, [one])]
    said = RUNNER.invoke(cli.app, [*asked, "--out", str(tmp_path / "out")])
    assert re.search(error, str(said.exception))
    assert not (tmp_path / "out").exists()


def test_a_score_is_asked_of_detectors_alone(run, data):
    images, labels = data
    where = ("--images", str(images), "--labels", str(labels))
    said = RUNNER.invoke(cli.app, ["evaluate", str(run), *where, "--min-score", "0.7"])
    assert "min_score is for models that detect objects. Received: min_score=0.7" in str(
        said.exception
    )


@pytest.mark.parametrize(("options", "count"), [((), 1), (("--min-score", "0.2"), 2)])
def test_a_detector_is_scored_and_its_objects_drawn(tmp_path, monkeypatch, finder, options, count):
    pixels = np.zeros((64, 64), np.uint8)
    pixels[5:25, 5:25], pixels[30:50, 40:60] = 180, 60
    for folder, image in (("images", pixels), ("masks", (pixels > 0).astype(np.uint8))):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "a.png"), image)
    monkeypatch.setattr(finder, "class_names", ("1",))
    monkeypatch.setattr("temzoo.cli.scoring.trained", lambda weights, pairs: finder)
    where = ("--images", tmp_path / "images", "--labels", tmp_path / "masks")
    call("evaluate", "detector", *where, "--out", tmp_path / "scores", *options)
    figures = json.loads((tmp_path / "scores" / "figures.json").read_text())
    assert figures["table"][0]["instances_predicted"] == count
    assert (tmp_path / "scores" / "overlays.png").is_file()


def test_images_that_a_model_was_trained_on_are_not_scored_without_a_word(run, data, tmp_path):
    images, labels = data
    names = tmp_path / "all.csv"
    names.write_text("".join(f"synthetic_{k:04d}\n" for k in range(5)))
    said = call("evaluate", run, "--images", images, "--labels", labels, "--names", names)
    assert "the model was trained on 3 of these images" in said


def test_tune_instances_says_what_to_type_next(run, data):
    images, labels = data
    said = call("tune-instances", run, "--images", images, "--labels", labels)
    assert "scoring the 2 validation images of the run" in said
    command = said.strip().splitlines()[-1].split()
    assert command[:4] == ["temzoo", "predict", str(run), "IMAGES"]
    scored = call("evaluate", run, "--images", images, "--labels", labels, *command[4:])
    best = said.partition("least area, px\n")[2].split()[0]
    figures = next(line for line in scored.splitlines() if line.startswith("instance_f1"))
    assert best in figures


@pytest.mark.parametrize("baseline", ["otsu", "forest"])
def test_evaluate_a_baseline(baseline, data, tmp_path):
    images, labels = data
    fit, score = tmp_path / "fit.csv", tmp_path / "score.csv"
    fit.write_text("synthetic_0000\nsynthetic_0001\n")
    score.write_text("synthetic_0002\n")
    said = call(
        *("evaluate", baseline, "--images", images, "--labels", labels),
        *("--fit-names", fit, "--names", score, "--limit", 1),
    )
    assert said.lstrip().startswith("1 images, classes: particle") or "1 images" in said


@pytest.mark.parametrize("named", [False, True])
def test_a_baseline_is_not_scored_on_a_specimen_it_learnt_from(named, data, tmp_path):
    images, labels = data
    fit, score, groups = (tmp_path / name for name in ("fit.csv", "score.csv", "groups.csv"))
    fit.write_text("synthetic_0000\n")
    score.write_text("synthetic_0001\n")
    groups.write_text("".join(f"synthetic_{k:04d},grid {k // 2}\n" for k in range(5)))
    said = RUNNER.invoke(
        cli.app,
        [
            *("evaluate", "forest", "--images", str(images), "--labels", str(labels)),
            *("--groups", str(groups), "--fit-names", str(fit)),
            *(("--names", str(score)) if named else ()),
        ],
    )
    assert said.exit_code == 1
    assert "no specimen may be on both sides" in str(said.exception)
    assert "Received: 'grid 0', with synthetic_0000.tif to learn from" in str(said.exception)


def test_what_may_not_differ_from_training_is_refused(run, data, tmp_path):
    images, _ = data
    said = RUNNER.invoke(
        cli.app, ["predict", str(run), str(images), "--set", "filters=99", "--out", str(tmp_path)]
    )
    assert "were trained with filters=" in str(said.exception)


def test_training_on_named_images(data, tmp_path):
    images, labels = data
    held = tmp_path / "val.csv"
    held.write_text("synthetic_0004.tif\n")
    call(
        *("train", "unet", "--images", images, "--labels", labels, "--out", tmp_path / "run"),
        *("--val-names", held, "--limit", 2, "--set", "filters=2", "--set", "depth=1"),
        *("--epochs", 1, "--steps", 1, "--batch", 1, "--crop", 32),
    )
    told = json.loads((tmp_path / "run" / "run.json").read_text())["data"]
    assert told["val"]["names"] == ["synthetic_0004.tif"]
    assert len(told["train"]["names"]) == 2


MINE = """
import keras
import temzoo
from temzoo.models import layers

@temzoo.register("mine", task="semantic", free=("encoder_trainable",))
def mine(*, classes=2, channels=1, filters=4, encoder_trainable=False):
    pixels = keras.Input((None, None, channels))
    x = layers.Normalize(name="normalize")(pixels)
    x = keras.layers.Conv2D(filters, 3, padding="same", trainable=bool(encoder_trainable))(x)
    return keras.Model(pixels, layers.class_probabilities(x, classes))
"""


@pytest.fixture
def mine(tmp_path):
    """A file with a model that is traced in a moment."""
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    yield path
    del cards.BUILDERS["mine"], cards._CARDS["mine"]


def test_training_in_two_phases(data, mine, tmp_path):
    said = call(
        *("train", "mine", "--with", mine, "--images", data[0], "--labels", data[1]),
        *("--out", tmp_path / "run", "--epochs", 1, "--steps", 1, "--batch", 1),
        *("--crop", 32, "--finetune", "encoder_trainable=deep", "--finetune-epochs", 1),
    )
    assert "best validation IoU" in said
    rows = (tmp_path / "run" / "history.csv").read_text().splitlines()
    assert len(rows) == 1 + 2
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    assert settings["finetune"] == {"encoder_trainable": "deep"}


def test_models_are_listed_and_shown():
    assert all(name[:8] in call("models") for name in temzoo.list_models())
    assert "upsampling" in call("models", "unet")
    table = call("models", "--markdown")
    assert table.startswith("| model | task |")
    assert "`unet_mobilenet`" in table


def test_models_say_what_their_weights_score(monkeypatch):
    from temzoo.zoo.cards import list_models, model_card, score_texts

    monkeypatch.setenv("COLUMNS", "100")
    listed, markdown = call("models"), call("models", "--markdown")
    assert max(map(len, listed.splitlines())) <= 100
    shipped = {n: w for n in list_models(pretrained=True) for w in model_card(n).weights.items()}
    assert {"mask_rcnn", "unet_mobilenet", "autoencoder"} <= set(shipped)
    assert re.search(r"emps AP50 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]", listed)
    for name in shipped:
        card = call("models", name)
        for weights, about in model_card(name).weights.items():
            headline = score_texts(about.scores)[0]
            assert f"{weights} {headline}" in markdown
            assert headline in listed  # in one line
            assert all(text in " ".join(card.split()) for text in (headline, about.licence))


def test_models_fit_a_narrow_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = call("models").splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("unet_mobilenet  semantic") for line in lines)
    assert "…" not in "".join(lines)


def test_readme_table_is_the_generated_one():
    from pathlib import Path

    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert call("models", "--markdown").strip() in readme


def test_labels_check_has_an_exit_status(data, tmp_path):
    images, labels = data
    page = tmp_path / "check.html"
    said = call("labels", "check", labels, "--images", images, "--html", page)
    assert "5 images" in said
    assert page.is_file()
    (images / "synthetic_0002.tif").rename(tmp_path / "away.tif")
    try:
        assert "errors: 1" in call("labels", "check", labels, "--images", images, status=1)
    finally:
        (tmp_path / "away.tif").rename(images / "synthetic_0002.tif")


def test_one_malformed_shape_is_left_out_named_and_an_error(data, tmp_path, caplog):
    """Of a CVAT file; what trains says how many there are."""
    text = re.sub(r'<(\w+)( [^>]*z_order=)"\d+"', r'<\1\2"top"', data[1].read_text(), count=1)
    (tmp_path / "a.xml").write_text(text)
    said = call("labels", "check", tmp_path / "a.xml", status=1)
    assert "error: entry-left-out (1)" in said
    assert re.search(r"a\.xml, line \d+, image '.*', shape 1 \(\w+\) was left out: z_order", said)
    with caplog.at_level("WARNING", logger="temzoo"):
        assert len(temzoo.load_dataset(images=data[0], labels=tmp_path / "a.xml")) == 5
    assert "a.xml: entry-left-out: " in caplog.text


@pytest.mark.parametrize("to", ["cvat", "coco", "yolo", "masks"])
def test_labels_convert(data, tmp_path, to):
    call("labels", "convert", data[1], tmp_path / "out", "--to", to)
    assert (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [["check", "LABELS"], ["convert", "LABELS", "OUT"]])
def test_label_commands_do_without_tensorflow(data, tmp_path, arguments):
    places = {"LABELS": str(data[1]), "OUT": str(tmp_path / "out")}
    words = ["temzoo", "labels", *(places.get(a, a) for a in arguments)]
    words += ["--to", "coco"] if "convert" in words else ["--images", str(data[0])]
    code = (
        f"import sys; sys.argv = {words!r}\n"
        "from temzoo.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"


def test_augment_draws_a_sheet(data, tmp_path):
    call("augment", data[0] / "synthetic_0000.tif", "--out", tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["models", "unett"], "Did you mean unet"),
        (
            ["predict", "no-such-run", "a.png"],
            "Give a run folder, a .weights.h5 file, or MODEL/NAME",
        ),
        (["labels", "check", "no-such.xml"], "no-such.xml"),
        (
            ["evaluate", "otsu", "--images", "IMAGES", "--labels", "LABELS"],
            "Name the first with --fit",
        ),
        (["predict", "EMPTY"], "There are no images in"),
    ],
)
def test_an_error_is_one_line(monkeypatch, capsys, data, tmp_path, arguments, message):
    places = {"IMAGES": str(data[0]), "LABELS": str(data[1]), "EMPTY": str(tmp_path)}
    monkeypatch.setattr(sys, "argv", ["temzoo", *(places.get(a, a) for a in arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_keywords_are_literals_or_text():
    given = ["alpha=0.5", "norm=group", "decoder_filters=(8, 8)", "encoder_weights=None"]
    assert cli.keywords(["a=true", "b=False"]) == {"a": True, "b": False}
    assert cli.keywords(given) == {
        "alpha": 0.5,
        "norm": "group",
        "decoder_filters": (8, 8),
        "encoder_weights": None,
    }
    with pytest.raises(ValueError, match=r"Give KEY=VALUE, such as alpha=0.5. Received: 'alpha'"):
        cli.keywords(["alpha"])


def test_help_shows_all_that_was_written():
    """Rich takes a word in brackets for markup, and drops it."""
    for path in (Path(cli.__file__).parent).glob("*.py"):
        assert not re.findall(r"(?<!')temzoo\[\w+\](?!')", path.read_text()), path.name


def test_help_teaches_each_command():
    for command in ("train", "evaluate", "predict", "augment", "demo", "models"):
        assert len(call(command, "--help")) > 300


@pytest.fixture(scope="module")
def noisy_images(tmp_path_factory):
    """Enough of them to tell what is usual."""
    folder = tmp_path_factory.mktemp("many")
    return write_dataset(folder, n=14, size=128, n_particles=4, seed=50)[0]


@pytest.fixture(scope="module")
def denoiser(noisy_images, tmp_path_factory):
    images = noisy_images
    folder = tmp_path_factory.mktemp("runs") / "denoiser"
    said = call(
        *("train", "autoencoder", "--images", images, "--pairs", "medium-dose", "--out", folder),
        *("--set", "filters=4", "--set", "depth=1", "--epochs", 1, "--steps", 2),
        *("--batch", 2, "--crop", 32, "--val", 0.2),
    )
    assert "best validation PSNR" in said
    return folder


def test_restore_writes_calibrated_images_and_warns_of_unlike_ones(
    denoiser, noisy_images, tmp_path
):
    noise = np.random.default_rng(0).integers(0, 2, (64, 64)) * 255
    cv2.imwrite(str(tmp_path / "noise.png"), np.kron(noise, np.ones((4, 4))).astype(np.uint8))
    one = tmp_path / "one.tif"
    (poor,) = degraded(temzoo.load_images(noisy_images)[:1], "medium-dose")
    write_tiff(one, poor.micrograph)
    arguments = ["restore", str(denoiser), str(one), str(tmp_path / "noise.png")]
    result = RUNNER.invoke(cli.app, [*arguments, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    restored = temzoo.load_micrograph(tmp_path / "out" / f"{one.stem}_restored.tif")
    before = temzoo.load_micrograph(one)
    assert restored.pixels.dtype == before.pixels.dtype
    assert restored.nm_per_pixel == pytest.approx(before.nm_per_pixel)
    assert (tmp_path / "out" / "noise_both.png").is_file()
    assert "noise.png looks unlike the training images" in result.output
    assert "do not trust its details" in result.output
    assert f"{one.name} looks unlike" not in result.output


@pytest.fixture(scope="module")
def cut_particles(data, tmp_path_factory):
    images, labels = data
    folder = tmp_path_factory.mktemp("particles")
    said = call(
        *("particles", "--images", images, "--labels", labels, "--out", folder),
        *("--window-px", 40, "--size", 16, "--border", "mirror"),
    )
    assert "particles in windows of 40 px" in said
    return folder


def test_particles_train_a_vae_whose_latent_space_is_drawn(cut_particles, tmp_path):
    said = call(
        *("train", "vae", "--images", cut_particles, "--out", tmp_path / "vae", "--epochs", 2),
        *("--set", "image_size=16", "--set", "latent_dim=2", "--batch", 4, "--val", 0.4),
    )
    assert "best validation ELBO" in said
    said = call("latent", tmp_path / "vae", "--images", cut_particles, "--out", tmp_path / "latent")
    assert "latent.html" in said
    assert (tmp_path / "latent" / "latent.html").stat().st_size > 10_000
    header = (tmp_path / "latent" / "codes.csv").read_text().splitlines()[0]
    assert "diameter_nm" in header
    assert "diameter_px" not in header


def test_particles_are_cut_where_a_model_finds_them(run, data, tmp_path):
    images, _ = data
    said = call(
        *("particles", "--images", images, "--weights", run, "--out", tmp_path),
        *("--window-px", 24, "--border", "mirror"),
    )
    assert "particles in windows of 24 px" in said


def test_tune_prints_what_it_found(data, mine, tmp_path):
    images, labels = data
    said = call(
        *("tune", "mine", "--with", mine, "--images", images, "--labels", labels),
        *("--out", tmp_path / "search", "--search", "filters=[2,4]", "--trials", 2, "--epochs", 1),
        *("--steps", 1, "--crop", 32, "--val", 0.4),
    )
    assert "best IoU" in said
    assert len((tmp_path / "search" / "trials.csv").read_text().splitlines()) == 3
    assert (tmp_path / "search" / "best" / "best.weights.h5").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "unet", "--images", "IMAGES"], "unet needs --labels. Received: none"),
        (
            ["train", "autoencoder", "--images", "IMAGES", "--labels", "LABELS"],
            "autoencoder learns without labels: leave them out",
        ),
        (
            ["train", "unet", "--images", "IMAGES", "--labels", "LABELS", "--truth", "IMAGES"],
            "--truth is for models that restore",
        ),
        (
            ["train", "autoencoder", "--images", "IMAGES", "--truth", "IMAGES", "--pairs", "stem"],
            "--pairs stem makes it of them",
        ),
        (
            ["train", "autoencoder", "--images", "PARTICLES", "--groups", "g.csv"],
            "particles are grouped by their micrographs",
        ),
        (["restore", "DENOISER", "IMAGES", "AGAIN"], "Results are named after the images"),
        (["tune", "vae", "--images", "PARTICLES", "--crop", "32"], "crop is not for a model"),
        (["predict", "DENOISER", "IMAGES"], "which makes pictures. Use temzoo.restore"),
        (["latent", "DENOISER", "--images", "IMAGES"], "has no latent vector to look at"),
        (["particles", "--images", "IMAGES"], "neither of --labels and --weights"),
    ],
)
def test_what_does_not_go_together_is_refused(
    denoiser, data, cut_particles, tmp_path, arguments, message
):
    images, labels = data
    again = tmp_path / "again" / sorted(images.iterdir())[0].name
    again.parent.mkdir()
    again.write_bytes(sorted(images.iterdir())[0].read_bytes())
    names = {"IMAGES": images, "LABELS": labels, "DENOISER": denoiser, "AGAIN": again}
    names = {name: str(path) for name, path in (names | {"PARTICLES": cut_particles}).items()}
    given = [names.get(word, word) for word in arguments]
    result = RUNNER.invoke(cli.app, [*given, "--out", str(tmp_path / "out")])
    assert message in str(result.exception)


def test_a_movie_teaches_a_denoiser(tmp_path):
    rng = np.random.default_rng(0)
    still = np.kron(rng.integers(60, 200, (8, 8)), np.ones((8, 8)))
    np.save(tmp_path / "movie.npy", rng.poisson(still, (8, 64, 64)).astype(np.uint16))
    said = call(
        *("train", "autoencoder", "--images", tmp_path / "movie.npy", "--out", tmp_path / "run"),
        *("--set", "filters=4", "--set", "depth=1", "--epochs", 1, "--steps", 1, "--crop", 32),
    )
    assert "best validation PSNR" in said
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["settings"]["pairs"] == "given"
    assert run["data"]["val"]["names"] == ["movie.npy[6>7]", "movie.npy[7>6]"]


def test_movies_and_images_of_one_folder_are_not_mixed(tmp_path):
    np.save(tmp_path / "movie.npy", np.zeros((4, 32, 32), np.uint8))
    cv2.imwrite(str(tmp_path / "single.png"), np.zeros((32, 32), np.uint8))
    arguments = ["train", "autoencoder", "--images", str(tmp_path), "--out", str(tmp_path / "r")]
    result = RUNNER.invoke(cli.app, arguments)
    assert "movie.npy and 0 more with several frames, 1 with one" in str(result.exception)


def test_a_movie_takes_no_groups(tmp_path):
    from temzoo.cli.learning import load_examples

    movie = tmp_path / "movie.tif"
    tifffile.imwrite(movie, np.zeros((3, 32, 32), np.uint8), photometric="minisblack")
    with pytest.raises(ValueError, match=r"a movie is a group\. Received: --groups .*Leave it out"):
        load_examples("autoencoder", movie, groups=tmp_path / "groups.csv")
