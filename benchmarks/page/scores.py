"""What needs more than the names of figures.

Each function of ``TABLES`` takes the records of a kind and gives lines.
"""

from collections.abc import Mapping, Sequence

from benchmarks.page.tables import Record, command, lines, score, table

Records = Sequence[Record]


def accuracy(found: Records) -> list[str]:
    """Under the tables: IoU of each class where there are several."""
    told = [
        f"`{r['model']}` on {r['dataset']['name']}: {_classes(each)}."
        for r in found
        if len(each := r["figures"]["pooled_iou_of_classes"]) > 2
    ]
    return [line for part in told for line in (part, "")]


def _classes(each: Mapping[str, float]) -> str:
    told = ", ".join(f"{name} {value:.3f}" for name, value in each.items())
    mean = sum(each.values()) / len(each)
    return f"pooled IoU of {told}; mean of all {len(each)}: {mean:.3f}"


def recipe(found: Records) -> list[str]:
    first = {r["name"]: r for r in found if "-seed" not in r["name"]}
    told = lines(
        [*first.values()],
        "-",
        "@dataset.name+@dataset.train_images:data,_training_images @about:model"
        " per_image.iou/.3f:IoU pooled.iou.value/.3f:pooled_IoU"
        " pooled.instance_f1.value/.3f:instance_F1 @training.minutes/.1f:training,_min"
        " seconds_per_image.median/.2f:s_per_image @command",
    )
    for r in first.values():
        each, joint = (r["figures"][key] for key in ("pooled_iou_of_classes", "joint_iou"))
        if len(each) > 2:
            more = f"; of all classes counted together {joint:.3f}" if joint else ""
            told += ["", f"`{r['name']}`: {_classes(each)}{more}."]
    again = [_again_row(r, first) for r in found if r["name"] not in first]
    head = "trained again | IoU | with another seed | inside the interval | command"
    return told + (["", *table(head, again)] if again else [])


def _again_row(r: Record, first: Mapping[str, Record]) -> list[str]:
    old, new = first.get(r["name"].partition("-seed")[0]), r["figures"]["per_image"]["iou"]["value"]
    iou = old and old["figures"]["per_image"]["iou"]
    inside = "–" if iou is None else "yes" if iou["low"] <= new <= iou["high"] else "no"
    return [r["about"], score(iou), f"{new:.3f}", inside, command(r)]


TABLES = {"accuracy": accuracy, "recipe": recipe}
