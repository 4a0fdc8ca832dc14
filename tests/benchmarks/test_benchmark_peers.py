"""Peers: jobs, crops, environments, scoring of what was written, tables."""

import json
import sys

import numpy as np
import pytest

from benchmarks import beside_torch, environments, peers
from benchmarks.accuracy import OBJECTS
from benchmarks.datasets import synthetic
from benchmarks.page import shown
from benchmarks.peer_scripts import replay
from benchmarks.peers import ALL, PEERS, Contestant, crop_numbers, write_job
from benchmarks.records import keep, result
from temzoo.labels.shapes.raster import class_map, instance_map

SIZE = 96
NAMES = ("particle",)


@pytest.fixture(scope="module")
def dataset():
    return synthetic(train=4, val=2, size=SIZE)


@pytest.fixture(scope="module")
def job(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("peers") / "job"
    write_job(folder, dataset, minutes=0.02, crop=64, batch=2, threads=1, seed=0, count=50)
    return folder


@pytest.fixture
def here(monkeypatch):
    """scikit-learn's environment is the one that runs the tests; there is no other."""
    absent = "not set up: python -m benchmarks peers --setup {}"
    monkeypatch.setattr(peers, "python_of", lambda name: sys.executable)
    monkeypatch.setattr(
        peers, "why_not", lambda name: None if name in ("", "sklearn") else absent.format(name)
    )


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
    write_job(job, dataset, minutes=0.02, crop=64, batch=2, threads=1, seed=0, count=50)
    assert (job / "crops.npy").stat().st_mtime_ns == before


@pytest.mark.parametrize("size", [64, 128])  # the larger ones are filled up by mirroring
def test_crops_are_those_of_the_training_stream_before_their_turns(dataset, tmp_path, size):
    from temzoo.data.crop_plan import CropPlan
    from temzoo.data.dataset import training_stream
    from temzoo.zoo.task import task_named

    write_job(tmp_path, dataset, minutes=1, crop=size, batch=2, threads=2, seed=5, count=12)
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


def _written_truth(folder, dataset, spoil=lambda classes: classes):
    folder.mkdir(parents=True, exist_ok=True)
    for number, example in enumerate(dataset.val):
        hot = np.eye(2, dtype=np.float16)[spoil(class_map(example.labels, NAMES))]
        np.save(folder / f"val-{number:04d}-probabilities.npy", hot)


def test_a_written_map_scores_as_the_same_map_from_a_model(dataset, tmp_path):
    import temzoo

    spoil = lambda classes: np.roll(classes, 5, axis=0)  # noqa: E731
    _written_truth(tmp_path, dataset, spoil)
    found = peers.score(tmp_path, dataset.val, NAMES)
    truths = iter([spoil(class_map(e.labels, NAMES)) for e in dataset.val])

    def network(batch):
        return np.eye(2, dtype=np.float32)[next(truths)][None]

    expected = temzoo.evaluate(network, dataset.val, ap=True, **OBJECTS)
    assert 0 < found.iou.value < 1
    for metric in ("iou", "dice", "instance_f1", "mask_ap50"):
        assert found.pooled[metric] == expected.pooled[metric]
    assert found.iou == expected.iou


def test_a_written_label_map_scores_as_objects(dataset, tmp_path):
    for number, example in enumerate(dataset.val):
        labels = instance_map(example.labels)
        np.save(tmp_path / f"val-{number:04d}-instances.npy", labels)
        scores = np.linspace(0.9, 0.5, labels.max()).astype(np.float32)
        np.save(tmp_path / f"val-{number:04d}-scores.npy", scores)
    found = peers.score(tmp_path, dataset.val, NAMES)
    assert found.iou.value == 1
    assert found.pooled["instance_f1"].value == 1
    assert found.pooled["mask_ap50"].value > 0.9  # what others cover is lost


def test_a_map_of_another_size_is_refused(dataset, tmp_path):
    for number in range(2):
        path = tmp_path / f"val-{number:04d}-probabilities.npy"
        np.save(path, np.ones((8, 8, 2), np.float16))
    with pytest.raises(ValueError, match=r"has its micrograph's size.*\(8, 8\) for \(96, 96\)"):
        peers.score(tmp_path, dataset.val, NAMES)


def test_paired_differences_say_who_is_better(dataset, tmp_path):
    _written_truth(tmp_path / "a", dataset)
    _written_truth(tmp_path / "b", dataset, lambda classes: np.roll(classes, 9, axis=1))
    good, bad = (peers.score(tmp_path / n, dataset.val, NAMES) for n in "ab")
    told = peers.comparison(good, bad)["iou"]
    assert told["value"] == pytest.approx(1 - bad.iou.value)
    assert (told["verdict"], told["wins"], told["images"]) == ("better", 1.0, 2)
    assert peers.comparison(bad, good)["iou"]["verdict"] == "worse"


@pytest.mark.usefixtures("here")
def test_scikit_learn_from_the_job_to_the_table(dataset, job, tmp_path):
    out = tmp_path / "out"
    _written_truth(out / "temzoo-unet", dataset)
    names = ["sklearn", "smp-resnet18", "stardist"]
    rows = {name: peers.contest(name, job, out, dataset.val) for name in names}
    rows = peers.side_by_side(rows)
    row = rows["sklearn"]
    assert row["per_image"]["iou"]["value"] > 0.5
    assert row["learning"]["crops"] >= 1
    assert {*row["packages"]} == {"scikit-learn", "scikit-image"}
    assert rows["stardist"]["left_out"] == "not set up: python -m benchmarks peers --setup stardist"
    told = json.loads((job / "job.json").read_text())
    text = page_of(told, rows)
    assert f"| {PEERS['sklearn'].about} | {row['per_image']['iou']['value']:.3f} [" in text
    assert f"| {PEERS['stardist'].about} | – | " in text


def test_a_table_shows_differences_and_verdicts(dataset, tmp_path, monkeypatch, job):
    def run(contestant, job, folder):
        shift = {"temzoo-unet": 0, "pytorch-unet": 9}[folder.name]
        _written_truth(folder, dataset, lambda classes: np.roll(classes, shift, axis=1))
        return {
            "learning": {"steps": 3, "crops": 6, "cpu_s": 60.0},
            "prediction": {"wall_s": 1.0, "cpu_s": 1.0},
            "parameters": 12,
            "packages": {"torch": "1"},
        }

    monkeypatch.setattr(peers, "run", run)
    names = ["pytorch-unet", "temzoo-unet"]
    rows = {name: peers.contest(name, job, tmp_path, dataset.val) for name in names}
    rows = peers.side_by_side(rows)
    assert [*rows] == ["temzoo-unet", "pytorch-unet"]
    told = json.loads((job / "job.json").read_text())
    text = page_of(told, rows)
    gain = 1 - rows["pytorch-unet"]["per_image"]["iou"]["value"]
    row = f"| pytorch-unet, temzoo-unet | {gain:+.3f} ["
    assert any(line.startswith(row) and "**better**" in line for line in text.splitlines())
    assert "| synthetic | 4 | 2 | 0.0200 | 1 | 64 | 2 | `peers` |" in text


@pytest.mark.usefixtures("here")
def test_a_script_that_fails_is_left_out_with_its_last_words(job, tmp_path):
    told = peers.run(Contestant("broken", "no-such-learner", "sklearn"), job, tmp_path)
    assert "KeyError: 'of_no-such-learner'" in told["left_out"]


def test_one_class_contestants_are_left_out_of_more(job, tmp_path):
    told = peers.run(Contestant("", "", "", classes=1), job, tmp_path / "one")
    assert told["left_out"] == "tells one class apart; the data have 1"


def test_an_environment_is_made_once_and_a_failure_is_told(tmp_path, monkeypatch):
    wanted = {"empty": (["six"], "pass"), "bad": (["./no-such-folder-of-a-package"], "pass")}
    monkeypatch.setattr(environments, "ENVIRONMENTS", wanted)
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    found = environments.set_up([])
    assert found["empty"] == "ready"
    assert "no-such-folder-of-a-package" in found["bad"]
    assert environments.why_not("bad") == found["bad"]
    before = (tmp_path / "empty" / "ready.json").stat().st_mtime_ns
    assert environments.set_up(["empty"]) == {"empty": "ready"}
    assert (tmp_path / "empty" / "ready.json").stat().st_mtime_ns == before


def test_an_unknown_environment_is_refused():
    with pytest.raises(ValueError, match=r"An environment is one of pytorch, .* Received: 'tf'"):
        environments.set_up(["tf"])


def test_every_contestant_has_its_learner_and_environment():
    learners = (environments.SCRIPTS / "learners.py").read_text(encoding="utf-8")
    for one in ALL.values():
        assert f"def of_{one.learner}(" in learners
        assert one.environment in {"", *environments.ENVIRONMENTS}


def test_a_contest_on_drawn_micrographs_is_recorded(tmp_path, monkeypatch, measured):
    said, asked = {"about": "ours", "left_out": "not here"}, []
    monkeypatch.setattr(peers, "contest", lambda name, *_: asked.append(name) or said)
    monkeypatch.setattr(peers, "CROPS", 4)
    (record,) = measured("peers", "--quick", "--names", "temzoo-unet", "--work", str(tmp_path))
    assert asked == ["temzoo-unet"]
    assert record["command"] == "python -m benchmarks peers --names temzoo-unet --quick"
    assert record["settings"]["budget_s"] == 40.0
    assert shown(record)[-1] == "| ours | not here |"


@pytest.fixture
def contested(tmp_path, monkeypatch, measured):
    """A quick contest with ``--add``, whose contestants write shifted truth: its last record."""
    shifts, ran = {"temzoo-unet": 1, "pytorch-unet": 5, "sklearn": 3}, []

    def run(contestant, job, folder):
        ran.append((folder.parent.name, folder.name))
        dataset = synthetic(train=6, val=3, size=256)
        _written_truth(folder, dataset, lambda c: np.roll(c, shifts[folder.name], axis=1))
        return {"learning": {"steps": 3}, "parameters": 12, "packages": {"torch": "1"}}

    monkeypatch.setattr(peers, "run", run)
    monkeypatch.setattr(peers, "CROPS", 4)

    def contest(*words):
        ran.clear()
        told = "--quick", "--add", "--work", str(tmp_path / "work")
        for record in measured("peers", *told, *words):
            keep(record, tmp_path)
        return record, [*ran]

    return contest


def test_contestants_and_seeds_are_added_to_the_record_on_file(contested):
    _, ran = contested("--names", "sklearn", "temzoo-unet")
    assert ran == [("seed-0", "sklearn"), ("seed-0", "temzoo-unet")]
    record, ran = contested("--names", "sklearn", "pytorch-unet", "--seeds", "2")
    again = [("seed-1", "temzoo-unet"), ("seed-1", "sklearn")]  # the first two in IoU
    assert ran == [("seed-0", "pytorch-unet"), *again]
    rows = record["figures"]["contestants"]
    assert [*rows] == ["temzoo-unet", "pytorch-unet", "sklearn"]
    assert rows["pytorch-unet"]["beside"]["temzoo-unet"]["iou"]["verdict"] == "better"
    assert rows["sklearn"]["seeds"]["iou"]["repetitions"] == 2
    assert {*rows["sklearn"]} >= {"date", "processor"}
    assert record["command"].endswith("--names temzoo-unet pytorch-unet sklearn --seeds 2 --quick")
    assert contested("--names", "sklearn", "--seeds", "2")[1] == []


def test_a_record_of_another_job_is_not_added_to(contested, monkeypatch):
    contested("--names", "sklearn")
    monkeypatch.setattr(peers, "CROP", 128)
    with pytest.raises(ValueError, match=r"synthetic-0\.333-min in .*, of other data or"):
        contested("--names", "temzoo-unet")


def test_engines_take_turns_and_are_compared_with_their_original(monkeypatch, measured):
    config = {**beside_torch.CONFIG, "filters": 2, "depth": 1}
    for name, value in (("SMALL", config), ("SIDE", 32), ("BATCHES", (1,)), ("REST_S", 0)):
        monkeypatch.setattr(beside_torch, name, value)
    monkeypatch.setattr(beside_torch, "why_not", lambda name: "not set up")
    monkeypatch.setattr(
        beside_torch, "in_child", lambda _, *asked, **env: beside_torch.child_on_processor(*asked)
    )
    (record,) = measured("peers", "--speed", "--quick")
    absent, first, *others = record["figures"]["cells"]
    assert absent["left_out"] == "not set up"
    assert first["difference"] == 0
    assert all("left_out" in cell or cell["difference"] < 0.2 for cell in others)
    assert any(line.startswith("| temzoo TensorFlow | 1 |") for line in shown(record))


def test_an_engine_that_cannot_is_a_row_and_ratios_are_by_turns(monkeypatch):
    taken = {beside_torch.REFERENCE: [0.2, 0.4], "a": [0.1, 0.1], beside_torch.SCAN: [1.0, 1.0]}
    monkeypatch.setattr(beside_torch, "in_turns", lambda runs, **turns: taken)
    answers = {name: (lambda k=k: np.full(2, 0.5 * k)) for k, name in enumerate(taken)}
    makers = {name: (lambda run=run: run) for name, run in answers.items()} | {"b": lambda: 1 / 0}
    rows = beside_torch.rows_of(makers, 8, beside_torch.REFERENCE)
    rows = {row["engine"]: row for row in rows}
    assert rows["b"]["left_out"] == "ZeroDivisionError: division by zero"
    assert rows["a"]["images_per_s"]["median"] == pytest.approx(80)
    assert rows["a"]["ratio"]["median"] == pytest.approx(3)  # 2 and 4
    assert rows["a"]["difference"] == 0.5
    assert rows[beside_torch.SCAN]["images_per_s"]["median"] == pytest.approx(80)  # of 10 steps


def test_a_finished_contestant_runs_again_only_with_other_options(job, tmp_path, monkeypatch):
    ran = []

    def learner(command, **_):
        ran.append(command)
        (tmp_path / "one" / "told.json").write_text("{}")

    monkeypatch.setattr(peers, "last_line", learner)
    for filters, runs in ((8, 1), (8, 1), (16, 2)):
        asked = Contestant("", "pytorch", "", {"filters": filters})
        assert peers.run(asked, job, tmp_path / "one") == {"options": {"filters": filters}}
        assert len(ran) == runs


# Learns one threshold, of pixels that are darker: the quantile that the option names.
THRESHOLD = """
import json, sys
from pathlib import Path
sys.path.insert(0, {scripts!r})
import numpy as np
from replay import Job, finish

_, folder, out, options = sys.argv[1:]
job, share = Job(folder), json.loads(options)["share"]
level = np.quantile([job.cut(k, "pixels") for k in range(8)], share)

def predict(raw):
    return {{"probabilities": np.eye(job.classes)[(raw < level).astype(int)]}}

learning = {{"steps": None, "crops": 8, "cpu_s": 0.0}}
finish(job, Path(out), predict, packages=("numpy",), learning=learning, parameters=1)
"""


@pytest.mark.usefixtures("here")
def test_seeds_repeat_the_two_that_are_first(dataset, tmp_path, monkeypatch, measured):
    scripts = str(environments.SCRIPTS)
    (tmp_path / "learners.py").write_text(THRESHOLD.format(scripts=scripts), encoding="utf-8")
    shares = {"a": 0.05, "b": 0.3, "c": 0.9}
    own = {n: Contestant(n, "threshold", "sklearn", {"share": s}) for n, s in shares.items()}
    changed = {"ALL": own, "OURS": {}, "SCRIPTS": tmp_path, "CROPS": 10, "CROP": 64}
    for name, value in {**changed, "dataset_of": lambda _: dataset}.items():
        monkeypatch.setattr(peers, name, value)
    words = ("--minutes", "0.01", "--threads", "1", "--work", str(tmp_path / "work"))
    (record,) = measured("peers", "--seeds", "2", *words)
    rows = record["figures"]["contestants"]
    iou = {name: row["per_image"]["iou"]["value"] for name, row in rows.items()}
    last, *first = sorted(iou, key=iou.get)
    assert len({*iou.values()}) == 3
    assert {name for name, row in rows.items() if "seeds" in row} == {*first}
    again = (tmp_path / "work" / "synthetic" / "seed-1").glob("*/told.json")
    assert {path.parent.name for path in again} == {*first} == own.keys() - {last}
    seeds = rows[first[-1]]["seeds"]["iou"]
    assert (seeds["repetitions"], seeds["least"] < seeds["most"]) == (2, True)
    assert iou[first[-1]] in (seeds["least"], seeds["most"])
