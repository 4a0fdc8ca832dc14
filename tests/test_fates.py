"""Fates of objects, and errors of count and sizes, on drawn cases and against brute force."""

import json
import math

import numpy as np
import pytest

from temzoo.core.bootstrap import resamples
from temzoo.core.types import Detection, Example, LabelledImage, Micrograph, Prediction, Shape
from temzoo.evaluation.evaluate import score_predictions
from temzoo.evaluation.fates import LABELLED, PREDICTED, fates, image_errors, object_errors


def box(top, left, height, width, *, kind=1):
    return Detection(top, left, np.ones((height, width), bool), kind, 1.0)


def of(true, found):
    return tuple(part.tolist() for part in fates(true, found))


ONE, NEXT = box(0, 0, 10, 10), box(0, 10, 10, 10)


@pytest.mark.parametrize(
    ("true", "found", "labelled", "predicted"),
    [
        ([ONE], [ONE], ["matched"], ["matched"]),
        ([ONE], [], ["missed"], []),
        ([], [ONE], [], ["false"]),
        ([ONE], [box(30, 30, 9, 9)], ["missed"], ["false"]),
        ([ONE], [box(0, 0, 10, 10, kind=2)], ["missed"], ["false"]),  # another class
        # One large object over two equal ones: IoU is 0.5 with each, and it can match one alone.
        ([ONE, NEXT], [box(0, 0, 10, 20)], ["matched", "merged"], ["matched"]),
        # Larger still, it matches none.
        ([ONE, NEXT], [box(0, 0, 12, 20)], ["merged", "merged"], ["false"]),
        # A small one is swallowed by what is matched with its neighbour.
        ([ONE, box(0, 10, 10, 2)], [box(0, 0, 10, 12)], ["matched", "merged"], ["matched"]),
        # Of two halves neither has an IoU of 0.5 with the whole; of unequal ones, the larger.
        ([box(0, 0, 10, 21)], [box(0, 0, 10, 10), box(0, 11, 10, 10)], ["split"], ["fragment"] * 2),
        ([ONE], [box(0, 0, 10, 6), box(0, 6, 10, 4)], ["matched"], ["matched", "fragment"]),
        # Two crumbs that cover less than half are no split.
        ([ONE], [box(0, 0, 4, 4), box(6, 6, 4, 4)], ["missed"], ["fragment"] * 2),
        # One part alone that is too small, and one object that is too large.
        ([ONE], [box(0, 0, 10, 4)], ["missed"], ["fragment"]),
        ([ONE], [box(0, 0, 10, 30)], ["missed"], ["false"]),
    ],
)
def test_drawn_cases(true, found, labelled, predicted):
    assert of(true, found) == (labelled, predicted)
    turned = of(true[::-1], found[::-1])
    if labelled != ["matched", "merged"]:  # of equal ones either may be matched
        assert turned == (labelled[::-1], predicted[::-1])


def slow(true, found):
    """The rules of ``fates``, one object after another, on whole canvases."""

    def drawn(one):
        mask = np.zeros((60, 60), bool)
        mask[one.top : one.top + one.mask.shape[0], one.left : one.left + one.mask.shape[1]] = (
            one.mask
        )
        return mask

    true, found = [drawn(t) for t in true], [drawn(f) for f in found]
    share = np.array([[(t & f).sum() for f in found] for t in true], float)
    t_area, f_area = (np.array([m.sum() for m in part], float) for part in (true, found))
    iou = share / (t_area[:, None] + f_area - share)
    of_true, of_found = share / t_area[:, None], share / f_area
    labelled = []
    for k in range(len(true)):
        holders = np.flatnonzero(of_true[k] >= 0.5)
        parts = np.flatnonzero(of_found[k] >= 0.5)
        if (iou[k] >= 0.5).any():
            labelled.append("matched")
        elif any((of_true[:, f] >= 0.5).sum() > 1 for f in holders):
            labelled.append("merged")
        elif len(parts) > 1 and of_true[k, parts].sum() >= 0.5:
            labelled.append("split")
        else:
            labelled.append("missed")
    predicted = [
        "matched"
        if (iou[:, f] >= 0.5).any()
        else "fragment"
        if (of_found[:, f] >= 0.5).any()
        else "false"
        for f in range(len(found))
    ]
    return labelled, predicted


def test_random_scenes_agree_with_brute_force():
    seen = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        step = rng.choice([4, 7, 11], 2)

        def grid(step, seed=seed):
            shift = np.random.default_rng(seed).integers(0, 3, 2)
            return [
                box(int(r + shift[0]), int(c + shift[1]), int(step[0]) - 1, int(step[1]) - 1)
                for r in range(0, 44, int(step[0]))
                for c in range(0, 44, int(step[1]))
            ]

        true, found = grid(step), grid(rng.choice([4, 6, 9, 12, 23], 2), seed + 1)
        assert of(true, found) == slow(true, found)
        seen |= set(np.concatenate(fates(true, found)))
    assert seen == {*LABELLED, *PREDICTED}


def test_errors_of_an_image():
    found = image_errors([ONE, NEXT, box(20, 20, 20, 20)], [ONE, NEXT, box(20, 20, 20, 20), NEXT])
    assert found["relative_count_error"] == pytest.approx(1 / 3)
    assert found["d50_error"] == 0
    larger = image_errors([box(0, 0, 10, 10)], [box(0, 0, 11, 11)])
    assert larger["d50_error"] == pytest.approx(0.1)
    nothing = image_errors([ONE], [])
    assert nothing["relative_count_error"] == -1
    assert math.isnan(nothing["d50_error"])
    assert math.isnan(image_errors([], [ONE])["relative_count_error"])
    assert image_errors([ONE], [ONE])["labelled_matched"] == 1


def test_figures_over_images_are_medians_and_shares():
    counts = [(10, 11), (10, 12), (10, 5), (0, 0), (0, 1)]  # labelled, found
    rows = [image_errors([ONE] * true, [ONE] * found) for true, found in counts]
    result = object_errors(rows, resamples(5, 200, 0))
    assert result.over_images["median_count_error"].value == pytest.approx(0.2)
    assert result.over_images["count_within_10_percent"].value == pytest.approx(2 / 5)
    assert result.over_images["median_d50_error"].value == 0
    figure = result.over_images["median_count_error"]
    assert figure.low <= figure.value <= figure.high
    assert sum(result.fates["labelled"].values()) == 30
    assert sum(result.fates["predicted"].values()) == 29


def test_an_evaluation_has_them_in_text_table_and_json(tmp_path):
    def example(name):
        corners = np.array([[0.0, 0], [10, 20]])
        shape = Shape("box", "particle", corners)
        labels = LabelledImage(name, 40, 40, (shape,), ("particle",))
        return Example(labels, lambda: Micrograph(np.zeros((40, 40), np.uint8), name=name))

    instances = np.zeros((40, 40), np.int32)
    instances[:10, :9], instances[:10, 11:20], instances[30:, 30:] = 1, 2, 3
    parts = Prediction((instances > 0).astype(np.uint8), instances)
    found = score_predictions([example("a.png"), example("b.png")], [parts, parts])
    assert found.objects.fates == {
        "labelled": {"matched": 0, "merged": 0, "split": 2, "missed": 0},
        "predicted": {"matched": 0, "false": 2, "fragment": 4},
    }
    assert found.objects.over_images["median_count_error"].value == 2
    assert found.table[0]["instances_predicted_fragment"] == 2
    lines = {line.split()[0]: line for line in found.summary().splitlines()}
    assert lines["predicted_objects"].endswith(
        "6: 0 matched (0.0%), 2 false (33.3%), 4 fragment (66.7%)"
    )
    assert str(found.objects.over_images["median_d50_error"]) in lines["median_d50_error"]
    found.to_json(tmp_path / "a.json")
    told = json.loads((tmp_path / "a.json").read_text())
    assert told["fates"]["labelled"]["split"] == 2
    assert told["over_images"]["count_within_10_percent"]["value"] == 0
    none = score_predictions([example("a.png")], [parts], with_instances=False)
    assert none.objects.fates == {}
    assert "objects" not in none.summary()
