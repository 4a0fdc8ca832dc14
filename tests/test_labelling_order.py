"""What a model doubts, against closed forms and plain NumPy; and which micrographs are chosen."""

import csv

import cv2
import numpy as np
import pytest
from scipy import stats
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist

import temzoo
from temzoo.annotation.label_next import (
    LONGEST_NAME,
    SHEET,
    TABLE,
    _title,
    appearance,
    chosen_in_turn,
    label_next,
)
from temzoo.core.types import Micrograph
from temzoo.evaluation.uncertainty import FLOOR_DOUBT, FLOOR_VOTE, entropy_bits


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.uint8)


def texture(seed, width):
    """Smooth random ground, (256, 256) uint8."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(256, 256)), width)
    return np.clip(128 + 40 * field / field.std(), 0, 255).astype(np.uint8)


def by_value(batch):
    """A model: a pixel's grey value of 255 is its probability; mirroring changes nothing."""
    inside = batch[..., :1].astype(np.float32) / 255
    return np.concatenate([1 - inside, inside], axis=-1)


def three_classes(batch):
    odds = np.stack([200 - batch[..., 0] / 2, batch[..., 0], 255 - batch[..., 0]], axis=-1) + 1.0
    return odds / odds.sum(axis=-1, keepdims=True)


def left_half(batch):
    """A model that finds whatever is on the left."""
    inside = np.zeros((*batch.shape[:3], 1), np.float32)
    inside[:, :, : batch.shape[2] // 2] = 1
    return np.concatenate([1 - inside, inside], axis=-1)


def only(model, pixels, **options):
    (candidate,) = label_next(model, [pixels], **options).chosen
    return candidate


def test_entropy_is_that_of_scipy():
    p = np.random.default_rng(0).dirichlet([1, 2, 3], (4, 5))
    np.testing.assert_allclose(entropy_bits(p), stats.entropy(p, base=2, axis=-1))
    np.testing.assert_allclose(entropy_bits(np.eye(3)), 0, atol=1e-9)


@pytest.mark.parametrize("shape", [(31, 50), (64, 64), (1100, 1030)])
@pytest.mark.parametrize("model", [by_value, three_classes])
def test_doubt_and_entropy_are_those_of_the_whole_image(model, shape):
    """The largest is predicted in tiles."""
    pixels = noise(*shape)
    p = model(pixels[None, ..., None])[0].astype(np.float64)
    found = only(model, pixels)
    union = np.where(p.argmax(-1) > 0, 1, 1 - p[..., 0]).mean() + FLOOR_DOUBT
    assert found.doubt == pytest.approx((1 - p.max(-1)).mean() / union, rel=1e-4)
    assert found.entropy == pytest.approx(stats.entropy(p, base=2, axis=-1).mean(), rel=1e-4)
    assert found.disagreement == pytest.approx(0, abs=1e-4)
    assert found.uncertainty == pytest.approx(found.doubt / 2, rel=1e-3)


def test_disagreement_is_one_less_the_mean_iou_of_the_pairs():
    """Mirrored back, two answers are the left half and two the right: 2 of 6 pairs agree."""
    found = only(left_half, noise(40, 60))
    apart = FLOOR_VOTE / (1 + FLOOR_VOTE)
    assert found.disagreement == pytest.approx(1 - (2 + 4 * apart) / 6)
    assert found.doubt == 0


def test_without_flips_the_doubt_is_all():
    found = only(by_value, noise(40, 60), flips=False)
    assert np.isnan(found.disagreement)
    assert found.uncertainty == found.doubt > 0


def test_an_empty_micrograph_is_not_the_most_doubtful():
    empty = np.full((64, 64), 1, np.uint8)  # a probability of 1/255 everywhere
    unsure = np.where(noise(64, 64) > 200, 150, 0).astype(np.uint8)
    assert label_next(by_value, [empty, unsure], diversity=0).chosen[0].image is unsure


def test_the_heat_lies_where_the_doubt_is():
    pixels = np.zeros((300, 701), np.uint8)
    pixels[250:280, 40:80] = 128
    heat = only(by_value, pixels).heat
    assert heat.shape == (110, 256)
    row, col = np.unravel_index(heat.argmax(), heat.shape)
    assert 250 <= (row + 0.5) * 300 / 110 < 280
    assert 40 <= (col + 0.5) * 701 / 256 < 80
    assert heat.max() == pytest.approx(1, abs=1e-3)
    assert np.count_nonzero(heat > 0.01) <= 13 * 16


def test_the_heat_of_a_small_image_is_the_entropy_of_each_pixel():
    pixels = noise(20, 33)
    expected = entropy_bits(by_value(pixels[None, ..., None])[0])
    np.testing.assert_allclose(only(by_value, pixels).heat, expected, atol=1e-3)


def squares(*values, side=64):
    """Squares of 12 px that the ``finder`` scores by their value of 200."""
    pixels = np.zeros((side, side), np.uint8)
    for k, value in enumerate(values):
        pixels[8 + 20 * k : 20 + 20 * k, 10 + 15 * k : 22 + 15 * k] = value
    return pixels


def test_a_detector_doubts_its_scores(finder):
    found = only(finder, squares(180, 120, 40))
    scores = np.array([0.9, 0.6, 0.2])
    assert found.doubt == pytest.approx((0.1 + 0.4 + 0.2) / (2 + 0.2 + 1), abs=1e-5)
    bits = stats.entropy(np.stack([scores, 1 - scores]), base=2)
    assert found.entropy == pytest.approx(bits.mean(), abs=1e-5)
    assert found.disagreement == pytest.approx(0, abs=1e-6)
    assert found.heat[14, 16] == pytest.approx(bits[0], abs=1e-2)
    assert found.heat[54, 46] == pytest.approx(bits[2], abs=1e-2)


def test_a_detector_that_finds_nothing_doubts_nothing(finder):
    found = only(finder, squares())
    assert (found.doubt, found.disagreement, found.entropy) == (0, 0, 0)


def test_a_detectors_mirror_images_are_compared_object_by_object(finder):
    class Left(type(finder)):
        """Blind on the right."""

        def detect(self, pixels, **options):
            seen = pixels.copy()
            seen[:, :, 32:] = 0
            return super().detect(seen, **options)

    pixels = np.zeros((64, 64), np.uint8)
    pixels[10:20, 5:15], pixels[40:50, 45:55] = 180, 160
    found = only(Left(), pixels)
    # Two answers show the one, two the other; one object in common is taken as given.
    assert found.disagreement == pytest.approx(1 - (2 * 1 + 4 * (1 / 2)) / 6, abs=1e-6)


def test_without_diversity_the_most_uncertain_come_first():
    values = np.random.default_rng(0).random(20)
    order, _ = chosen_in_turn(values, np.random.default_rng(1).random((20, 3)), 7, diversity=0)
    assert order == np.argsort(-values)[:7].tolist()


def test_full_diversity_is_the_greedy_k_centre_rule():
    points = np.random.default_rng(2).normal(size=(30, 4))
    known = np.random.default_rng(3).normal(size=(3, 4))
    order, novelty = chosen_in_turn(np.zeros(30), points, 8, diversity=1, known=known)
    spread = np.concatenate([points, known]).std(axis=0)
    centres, expected = list(known / spread), []
    for _ in range(8):
        expected.append(int(cdist(points / spread, centres).min(axis=1).argmax()))
        centres.append(points[expected[-1]] / spread)
    assert order == expected
    np.testing.assert_allclose(novelty, 1)


def test_frames_of_one_specimen_are_not_chosen_twice_in_a_row():
    values = [0.9, 0.89, 0.88, 0.5, 0.1]
    points = np.array([[0.0], [0.001], [0.002], [1.0], [1.001]])
    order, novelty = chosen_in_turn(values, points, 2, diversity=0.5)
    assert order == [0, 3]
    assert np.isnan(novelty[0])
    assert novelty[1] == pytest.approx(1.0 / 1.001)


def test_no_more_are_chosen_than_there_are_and_each_once():
    order, _ = chosen_in_turn([1.0, 1.0, 1.0], np.zeros((3, 2)), 9, seed=4)
    assert sorted(order) == [0, 1, 2]


def test_the_seed_decides_between_equals():
    orders = [chosen_in_turn(np.zeros(9), np.zeros((9, 1)), 9, seed=s)[0] for s in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_appearance_is_that_of_the_specimen_not_of_the_camera():
    pixels = texture(0, 3)
    brighter = (pixels.astype(np.float32) * 37 + 1000).astype(np.uint16)
    np.testing.assert_allclose(appearance(brighter), appearance(pixels), atol=1e-4)
    fine, coarse, alike = (appearance(texture(s, w)) for s, w in ((1, 1.5), (2, 6), (3, 3)))
    assert np.linalg.norm(alike - appearance(pixels)) < np.linalg.norm(fine - coarse) / 3


def test_kinds_are_mixed_and_what_is_labelled_is_not_repeated():
    """All are about as uncertain; two kinds, of one of which there are labels."""
    images = [texture(seed, 1 if seed < 4 else 3) for seed in range(8)]
    order = {id(image): k for k, image in enumerate(images)}

    def kinds(**options):
        ranking = label_next(by_value, images, count=2, diversity=0.9, **options)
        return [order[id(one.image)] // 4 for one in ranking.chosen]

    assert sorted(kinds()) == [0, 1]
    assert kinds(labelled=[texture(9, 1)])[0] == 1
    assert kinds(labelled=[texture(9, 3)])[0] == 0


def test_the_table_and_the_sheet(tmp_path):
    images = [Micrograph(noise(40, 60, k) // (k + 1), name=f"lot/{k}.tif") for k in range(5)]
    ranking = label_next(by_value, images, count=3)
    written = ranking.save(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {TABLE, SHEET}
    with written["table"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == ["1", "2", "3", "", ""]
    assert [row["image"] for row in rows[:3]] == [one.name for one in ranking.chosen]
    assert {row["image"] for row in rows} == {image.name for image in images}
    assert float(rows[0]["doubt"]) == pytest.approx(ranking.chosen[0].doubt, rel=1e-5)
    assert rows[0]["novelty"] == ""
    assert float(rows[3]["uncertainty"]) >= float(rows[4]["uncertainty"])
    assert cv2.imread(str(written["sheet"])).shape[1] > 1000


def test_names_that_a_spreadsheet_would_calculate_are_text_to_it(tmp_path):
    images = [Micrograph(noise(30, 40, k), name=name) for k, name in enumerate(("=1+1.tif", "a"))]
    label_next(by_value, [*images, Micrograph(noise(0, 4), name="@b")], flips=False).save(tmp_path)
    with (tmp_path / "label_next.csv").open(newline="", encoding="utf-8") as file:
        names = {row["image"] for row in csv.DictReader(file)}
    assert names == {"'=1+1.tif", "a", "'@b"}


def test_what_cannot_be_read_is_told_and_the_rest_is_ordered(tmp_path):
    gone = tmp_path / "gone.tif"
    spoilt = np.full((9, 9), np.nan)
    ranking = label_next(by_value, [gone, noise(30, 40), spoilt], labelled=[gone, noise(9, 9)])
    assert [one.name for one in ranking.chosen] == ["image 2"]
    assert [one.name for one in ranking.failed] == [str(gone), "image 3", str(gone)]
    assert "there is no such file" in ranking.failed[0].reason
    assert "pixels must be finite" in ranking.failed[1].reason
    with pytest.raises(ValueError, match=r"Received: 1, of which none can. The first: pixels must"):
        label_next(by_value, [spoilt])


def test_one_of_the_files_alone_is_never_written(tmp_path, monkeypatch):
    ranked = label_next(by_value, [noise(30, 30)], count=1)
    (tmp_path / TABLE).write_text("old")

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("temzoo.annotation.label_next._draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ranked.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [TABLE]
    assert (tmp_path / TABLE).read_text() == "old"


def test_paths_are_read_and_named(tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), noise(30, 40))
    named, bare = label_next(by_value, [path, noise(30, 40)], diversity=0).chosen
    assert {named.name, bare.name} == {str(path), "image 2"}


def test_long_names_are_shortened_in_the_middle():
    one = only(by_value, Micrograph(noise(9, 9), name=f"start{'x' * 50}end.tif"))
    title = _title(one).splitlines()[0]
    assert title.startswith("1.  startxxx")
    assert title.endswith("xxxend.tif")
    assert len(title) == len("1.  ") + LONGEST_NAME


def test_a_certain_model_still_gets_a_sheet(tmp_path):
    sure = label_next(by_value, [np.zeros((30, 40), np.uint8)], count=1)
    assert sure.chosen[0].uncertainty == pytest.approx(0, abs=1e-6)
    assert sure.save(tmp_path)["sheet"].is_file()


@pytest.mark.parametrize(
    ("images", "options", "told"),
    [
        ([], {}, r"at least one unlabelled image\. Received: none"),
        ([noise(9, 9)], {"count": 0}, r"count must be at least 1\. Received: count=0"),
        ([noise(9, 9)], {"diversity": 1.5}, r"from 0 to 1\. Received: diversity=1\.5"),
    ],
)
def test_options_out_of_range_are_refused(images, options, told):
    with pytest.raises(ValueError, match=told):
        label_next(by_value, images, **options)


def test_a_restorer_is_refused():
    model = temzoo.get_model("autoencoder", filters=4, depth=2, compile=False)
    with pytest.raises(ValueError, match=r'of the task "restoration", which needs no'):
        label_next(model, [noise(32, 32)])
