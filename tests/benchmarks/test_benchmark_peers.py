"""Peers: jobs, crops, environments, scoring of what was written, tables."""

import json
import sys

import numpy as np
import pytest

from benchmarks.datasets import synthetic
from benchmarks.metrics import CONNECTED
from benchmarks.page import shown
from benchmarks.peers import contest, environments, speed
from benchmarks.peers.contestants import ALL, ENVIRONMENTS, PEERS, Contestant
from benchmarks.peers.jobs import crop_numbers, write_job
from benchmarks.peers.scripts import replay
from benchmarks.records import result
from temzoo.labels.shapes.raster import class_map, instance_map

SIZE = 96
NAMES = ("particle",)


@pytest.fixture(scope="module")
def dataset():
    return synthetic(train=4, val=2, size=SIZE)


@pytest.fixture(scope="module")
def job(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("peers") / "job"
    write_job(folder, dataset, minutes=0.02, crop=64, batch=2, threads=1, count=50)
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Environments' folder in which scikit-learn's is the one that runs the tests."""
    home = tmp_path / "environments" / "sklearn"
    home.mkdir(parents=True)
    (home / "ready.json").write_text("{}")
    this = sys.executable
    monkeypatch.setattr(contest, "python_of", lambda name, folder: this)
    return home.parent


def page_of(told, rows):
    settings = {key: value for key, value in told.items() if key != "dataset"}
    about = {"about": "", "command": "peers", "dataset": told["dataset"], "settings": settings}
    return "\n".join(shown(result("peers", "contest", figures={"contestants": rows}, **about)))


def test_a_job_holds_the_micrographs_and_the_labels_of_those_that_teach(job, dataset):
    read = replay.Job(job)
    assert (read.classes, read.crop, read.batch, read.budget_s) == (2, 64, 2, 1.2)
    example = dataset.train[3]
    assert np.array_equal(read.array("train", 3, "pixels"), example.micrograph.pixels)
    assert np.array_equal(read.array("train", 3, "classes"), class_map(example.labels, NAMES))
    assert np.array_equal(read.array("train", 3, "instances"), instance_map(example.labels))
    assert np.array_equal(read.array("val", 1, "pixels"), dataset.val[1].micrograph.pixels)
    assert not [*job.glob("val-*-classes.npy"), *job.glob("val-*-instances.npy")]


def test_a_job_of_the_same_content_is_not_written_again(job, dataset):
    before = (job / "crops.npy").stat().st_mtime_ns
    write_job(job, dataset, minutes=0.02, crop=64, batch=2, threads=1, count=50)
    assert (job / "crops.npy").stat().st_mtime_ns == before


@pytest.mark.parametrize("size", [64, 128])  # the larger ones are filled up by mirroring
def test_crops_are_those_of_the_training_stream_before_their_turns(dataset, tmp_path, size):
    from temzoo.data.crop_plan import CropPlan
    from temzoo.data.dataset import training_stream
    from temzoo.zoo.task import task_named

    write_job(tmp_path, dataset, minutes=1, crop=size, batch=2, seed=5, count=12)
    read = replay.Job(tmp_path)
    read.crops[:, 3:] = 0
    plan = CropPlan(size, augment="none", seed=5)
    names = tuple(read.told["class_names"])
    target = task_named("semantic").target(names)
    stream = training_stream(dataset.train, plan, target=target, batch=2)
    for step, (pixels, truth) in enumerate(stream.take(6)):
        ours = read.batch_of(step, "pixels", "classes")
        assert np.array_equal(ours[0], pixels[..., 0])
        assert np.array_equal(ours[1], np.argmax(truth, axis=-1))


def test_turns_and_mirrors_change_pixels_and_labels_alike(job):
    read = replay.Job(job)
    crops = crop_numbers(synthetic(train=4, val=2, size=SIZE).train, size=64, seed=0, count=50)
    assert np.array_equal(read.crops, crops)
    assert {*crops[:, 3]} == {0, 1, 2, 3}
    assert {*crops[:, 4]} == {0, 1}
    for k in range(20):
        number, top, left, turns, mirrored = crops[k]
        for kind in ("pixels", "instances"):
            whole = read.array("train", number, kind)[top : top + 64, left : left + 64]
            turned = np.rot90(whole, turns)
            assert np.array_equal(read.cut(k, kind), np.fliplr(turned) if mirrored else turned)


def test_after_the_last_crop_the_first_comes_again(job):
    read = replay.Job(job)
    assert np.array_equal(read.cut(53, "pixels"), read.cut(3, "pixels"))


def test_learning_stops_when_the_processor_time_is_used(job):
    read = replay.Job(job)
    read.budget_s = 0.2
    rates = []

    def step(batch, rate):
        rates.append(rate)
        until = replay.Clock(1.0)
        while until.cpu_s < 0.03:
            pass

    told = replay.learn(read, step, "pixels")
    assert 0.2 <= told["cpu_s"] < 0.4
    assert told["steps"] == len(rates) <= 7
    assert told["crops"] == 2 * told["steps"]
    assert max(rates) <= replay.PEAK_RATE
    assert rates[-1] < rates[2]


def test_the_rate_rises_shortly_and_falls_to_nothing():
    found = [replay.rate(share) for share in np.linspace(0, 1, 201)]
    assert found[10] == pytest.approx(replay.PEAK_RATE)
    assert found[0] < found[5] < found[10] > found[50] > found[100] > found[199]
    assert found[-1] == pytest.approx(0, abs=1e-12)


def test_a_packages_licence_is_what_it_states():
    assert "BSD" in replay.licence("scikit-learn")


def _written_truth(folder, dataset, spoil=lambda classes: classes):
    folder.mkdir(parents=True, exist_ok=True)
    for number, example in enumerate(dataset.val):
        hot = np.eye(2, dtype=np.float16)[spoil(class_map(example.labels, NAMES))]
        np.save(folder / f"val-{number:04d}-probabilities.npy", hot)


def test_a_written_map_scores_as_the_same_map_from_a_model(dataset, tmp_path):
    import temzoo

    spoil = lambda classes: np.roll(classes, 5, axis=0)  # noqa: E731
    _written_truth(tmp_path, dataset, spoil)
    found = contest.score(tmp_path, dataset.val, NAMES)
    truths = iter([spoil(class_map(e.labels, NAMES)) for e in dataset.val])

    def network(batch):
        return np.eye(2, dtype=np.float32)[next(truths)][None]

    expected = temzoo.evaluate(network, dataset.val, ap=True, **CONNECTED)
    assert 0 < found.iou.value < 1
    for metric in contest.METRICS:
        assert found.pooled[metric] == expected.pooled[metric]
    assert found.iou == expected.iou


def test_a_written_label_map_scores_as_objects(dataset, tmp_path):
    for number, example in enumerate(dataset.val):
        labels = instance_map(example.labels)
        np.save(tmp_path / f"val-{number:04d}-instances.npy", labels)
        scores = np.linspace(0.9, 0.5, labels.max()).astype(np.float32)
        np.save(tmp_path / f"val-{number:04d}-scores.npy", scores)
    found = contest.score(tmp_path, dataset.val, NAMES)
    assert found.iou.value == 1
    assert found.pooled["instance_f1"].value == 1
    assert found.pooled["mask_ap50"].value > 0.9  # what others cover is lost


def test_a_map_of_another_size_is_refused(dataset, tmp_path):
    for number in range(2):
        path = tmp_path / f"val-{number:04d}-probabilities.npy"
        np.save(path, np.ones((8, 8, 2), np.float16))
    with pytest.raises(ValueError, match=r"has its micrograph's size.*\(8, 8\) for \(96, 96\)"):
        contest.score(tmp_path, dataset.val, NAMES)


def test_paired_differences_say_who_is_better(dataset, tmp_path):
    _written_truth(tmp_path / "a", dataset)
    _written_truth(tmp_path / "b", dataset, lambda classes: np.roll(classes, 9, axis=1))
    good, bad = (contest.score(tmp_path / n, dataset.val, NAMES) for n in "ab")
    told = contest.paired(good, bad)["iou"]
    assert told["value"] == pytest.approx(1 - bad.iou.value)
    assert (told["verdict"], told["wins"], told["images"]) == ("better", 1.0, 2)
    assert contest.paired(bad, good)["iou"]["verdict"] == "worse"


def test_scikit_learn_from_the_job_to_the_table(dataset, job, here, tmp_path):
    out = tmp_path / "out"
    _written_truth(out / "temzoo-unet", dataset)
    names = ["sklearn", "smp-resnet18", "stardist"]
    rows = contest.contest(names, job, out, dataset.val, environments=here)
    row = rows["sklearn"]
    assert row["per_image"]["iou"]["value"] > 0.5
    assert row["learning"]["crops"] >= 1
    assert {*row["packages"]} == {"scikit-learn", "scikit-image"}
    assert rows["stardist"]["left_out"] == "not set up: python -m benchmarks peers --setup stardist"
    told = json.loads((job / "job.json").read_text())
    text = page_of(told, rows)
    assert f"| {PEERS['sklearn'].about} | {row['per_image']['iou']['value']:.3f} [" in text
    assert f"| {PEERS['stardist'].about} | – | " in text


def test_a_table_shows_differences_and_verdicts(dataset, tmp_path, monkeypatch, job, here):
    def run(contestant, job, folder, **_):
        shift = {"temzoo-unet": 0, "pytorch-unet": 9}[folder.name]
        _written_truth(folder, dataset, lambda classes: np.roll(classes, shift, axis=1))
        return {
            "learning": {"steps": 3, "crops": 6, "cpu_s": 60.0},
            "prediction": {"wall_s": 1.0, "cpu_s": 1.0},
            "parameters": 12,
            "packages": {"torch": {"version": "1", "licence": "BSD"}},
        }

    monkeypatch.setattr(contest, "run", run)
    rows = contest.contest(["temzoo-unet", "pytorch-unet"], job, tmp_path, dataset.val)
    told = json.loads((job / "job.json").read_text())
    text = page_of(told, rows)
    gain = 1 - rows["pytorch-unet"]["per_image"]["iou"]["value"]
    row = f"| pytorch-unet, temzoo-unet | {gain:+.3f} ["
    assert any(line.startswith(row) and "**better**" in line for line in text.splitlines())
    assert "| synthetic | 4 | 2 | 0.0200 | 1 | 64 | 2 | `peers` |" in text


def test_a_script_that_fails_is_left_out_with_its_last_words(job, tmp_path, here):
    broken = Contestant("broken", "no-such-script", "sklearn")
    told = contest.run(broken, job, tmp_path / "broken", environments=here)
    assert "No such file" in told["left_out"]


def test_one_class_contestants_are_left_out_of_more(job, tmp_path, here):
    told = contest.run(Contestant("", "", "", classes=1), job, tmp_path / "one")
    assert told["left_out"] == "tells one class apart; the data have 1"


def test_an_environment_is_made_once_and_a_failure_is_told(tmp_path):
    wanted = {"empty": ["six"], "bad": ["./no-such-folder-of-a-package"]}
    found = environments.set_up([], tmp_path, wanted)
    assert found["empty"] == "ready"
    assert "no-such-folder-of-a-package" in found["bad"]
    assert environments.why_not("bad", tmp_path) == found["bad"]
    before = (tmp_path / "empty" / "ready.json").stat().st_mtime_ns
    assert environments.set_up(["empty"], tmp_path, wanted) == {"empty": "ready"}
    assert (tmp_path / "empty" / "ready.json").stat().st_mtime_ns == before


def test_an_unknown_environment_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"An environment is one of pytorch, .* Received: 'tf'"):
        environments.set_up(["tf"], tmp_path)


def test_every_contestant_has_its_script_and_environment():
    for one in ALL.values():
        assert (contest.SCRIPTS / f"{one.script}.py").is_file()
        assert one.environment in {"", *ENVIRONMENTS}


def test_a_contest_on_drawn_micrographs_is_recorded(tmp_path, monkeypatch, measured):
    said = {"temzoo-unet": {"about": "ours", "left_out": "not here"}}
    asked = []
    monkeypatch.setattr(contest, "contest", lambda names, *_, **how: asked.append(names) or said)
    monkeypatch.setattr("benchmarks.peers.jobs.CROPS", 4)
    (record,) = measured("peers", "--quick", "--names", "temzoo-unet", "--work", str(tmp_path))
    assert asked == [["temzoo-unet"]]
    assert "--names temzoo-unet --work" in record["command"]
    assert record["settings"]["budget_s"] == 40.0
    assert shown(record)[-1] == "| ours | not here |"


def test_engines_take_turns_and_are_compared_with_their_original(tmp_path):
    engines = {"temzoo": ("temzoo TensorFlow", "temzoo OpenVINO")}
    told = speed.measure(
        environments=tmp_path,
        repetitions=1,
        filters=2,
        depth=1,
        side=32,
        batches=(1,),
        engines={**engines, "pytorch": ("PyTorch eager",)},
    )
    record = result("engines", "2-filters", command="it", seed=0, **told)
    first, second, absent = record["figures"]["cells"]
    assert first.get("difference") == 0, first
    assert second.get("left_out") or second["difference"] < 1e-4
    assert absent["left_out"] == "not set up: python -m benchmarks peers --setup pytorch"
    assert any(line.startswith("| temzoo TensorFlow | 1 |") for line in shown(record))
