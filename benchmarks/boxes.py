"""Boxes: a detector of boxes, trained, and the shipped one beside those that find outlines.

    python -m benchmarks boxes train      # trains in runs/, scores
    python -m benchmarks boxes shipped    # yolo/emps, mask_rcnn/emps and particles/emps in one run

The 73 images of EMPS's ``val.csv`` at full resolution, by the defaults of ``temzoo predict``. Box
AP is COCO's: boxes of outlines are their extents. The error of the count is |found - labelled| /
labelled, its median over images. Speed: the same ten images, the models in turns, each in the
engine that ``temzoo predict`` gives it: Mask R-CNN has none but TensorFlow.
"""

from pathlib import Path
from typing import Any

import temzoo
from benchmarks.datasets import Arguments, open_dataset
from benchmarks.recipes import Recipe, fitted
from benchmarks.records import scores
from benchmarks.timing import in_turns, rates, ratio
from temzoo.cli.predicting import usual_model

NAME = "emps-boxes"
RECIPE = Recipe(
    "YOLO on MobileNet 0.75, ImageNet, frozen, then its deep blocks fine-tuned",
    *("emps", "yolo", {"alpha": 0.75, "image_size": 384}),
    {
        **{"epochs": 14, "steps_per_epoch": 120, "batch": 4, "validate_every": 4, "seed": 0},
        # Up to 768 px of the micrographs: particles of 500 px are seen whole.
        **{"magnification": (0.5, 1.3), "augment": "light", "augmenter": "opencv"},
        **{"learning_rate": 2e-3, "average": 0.995, "mixed_precision": True},
        **{"finetune": {"backbone_trainable": "deep"}, "finetune_epochs": 6, "finetune_rate": 3e-4},
    },
)
# Most micrographs of EMPS fit into one image of this side, or two.
WHOLE = {"image_size": 640}
SHIPPED = ("yolo/emps", "mask_rcnn/emps", "particles/emps")
TIMED = 10  # images
POOLED = ("box_ap50", "box_ap", "box_ap75", "instance_f1")
OVER_IMAGES = ("median_count_error", "count_within_10_percent")


def train(arguments: Arguments) -> dict[str, Any]:
    """Trained on 293 images, judged on 73."""
    dataset = open_dataset("emps", data=arguments.data_folder)
    _, training = fitted(NAME, RECIPE, dataset.train, dataset.val)
    model = temzoo.get_model("yolo", weights=Path("runs") / NAME, compile=False, **WHOLE)
    figures = scores(temzoo.evaluate(model, dataset.val, progress=True))
    return RECIPE.told() | {"training": training, "dataset": dataset.told(), "figures": figures}


def shipped(arguments: Arguments) -> dict[str, Any]:
    """Scores of each on the same images, and their speed in turns."""
    dataset = open_dataset("emps", data=arguments.data_folder)
    models = {weights: usual_model(weights, None) for weights in SHIPPED}
    rows = {}
    for weights, model in models.items():
        found = temzoo.evaluate(model, dataset.val, progress=True)
        rows[weights] = {name: vars(found.pooled[name]) for name in POOLED}
        rows[weights] |= {name: vars(found.objects.over_images[name]) for name in OVER_IMAGES}
    micrographs = [example.micrograph for example in dataset.val[:TIMED]]
    runs = {
        weights: lambda model=model: [temzoo.predict(model, one) for one in micrographs]
        for weights, model in models.items()
    }
    seconds = in_turns(runs, least=5)
    for weights, row in rows.items():
        row["images_per_s"] = rates(seconds[weights], TIMED)
        row["times_as_fast_as_mask_rcnn"] = ratio(seconds[SHIPPED[1]], seconds[weights])
    told = {"about": "boxes of shipped weights beside each other", "seed": 0}
    return told | {"dataset": dataset.told(), "figures": {"models": rows}}


MEASUREMENTS = {"train": train, "shipped": shipped}
