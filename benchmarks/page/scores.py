"""What needs more than the names of figures.

Each function of ``TABLES`` takes the records of a kind and gives lines.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.page.tables import Record, by, command, lines, score, table

Records = Sequence[Record]
Figures = Mapping[str, Any]
METHODS = {
    "noisy": "nothing",
    "gaussian": "Gaussian filter, tuned",
    "nlm": "non-local means, tuned",
    "bm3d": "BM3D with Anscombe's transformation",
    "blind-spot": "autoencoder, Noise2Void: noisy images alone",
    "supervised": "autoencoder, clean images and noise",
    "supervised-flips": "the same, mean over mirror images",
}
# How settings were chosen for an areal density, by the names of its figures.
DENSITIES = {
    "density": "chosen on other blocks of frames",
    "one frame held out": "on all frames but one and its neighbours",
    "chosen on all frames": "on the frames judged",
}
ACCURACY = "accuracy, 1 - mean |error|"
GAINS = {
    "supervised": ("nlm", "bm3d"),
    "supervised-flips": ("bm3d",),
    "blind-spot": ("nlm", "supervised"),
}


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


def instances(found: Records) -> list[str]:
    scored = [r for r in found if "pooled" in r["figures"]]
    head = "data | model | AP50 | AP | AP75 | F1 | PQ | StarDist | training, min | command"
    told = table(head, map(_instances_row, scored)) if scored else []
    told += [line for r in scored for line in _instances_said(r)]
    counted = [r for r in found if "density" in r["figures"]]
    return [*told, *(["", *_densities(counted)] if counted else [])]


def _densities(found: Records) -> list[str]:
    """Areal densities; the publisher's own figure beside them."""
    rows = []
    for r in found:
        own = {way: r["figures"].get(way) for way in DENSITIES}
        accuracies = [f"{each[ACCURACY]:.1%}" if each else "–" for each in own.values()]
        error = f"{r['figures']['density']['error of all frames together']:+.1%}"
        rows.append([r["about"], *accuracies, error, command(r)])
    return [
        "Areal density of loops; accuracy is 1 - mean over frames of the relative error. The data's"
        " publisher reports 83.6 % (creme, 316L), on another split.",
        "",
        *table(" | ".join(["counted by", *DENSITIES.values(), "error together", "command"]), rows),
    ]


def _instances_row(r: Record) -> list[str]:
    pooled, minutes = r["figures"]["pooled"], r["training"]["minutes"]
    metrics = ("mask_ap50", "mask_ap", "mask_ap75", "instance_f1", "panoptic_quality")
    cells = {m: f"{pooled[m]['value']:.3f}" for m in (*metrics, "stardist_ap50")}
    if r["dataset"]["images"] > 1:
        cells |= {m: score(pooled[m]) for m in ("mask_ap50", "instance_f1")}
    told = "shipped" if minutes is None else f"{minutes:.0f}"
    return [r["name"].split("-")[0], r["about"], *cells.values(), told, command(r)]


def _instances_said(r: Record) -> list[str]:
    figures, name = r["figures"], f"`{r['name']}`"
    if "density" in figures:
        return []
    if "relative count error" in figures:
        true = figures["images"][0]["instances_true"]
        error, seconds = figures["relative count error"], figures["seconds"]
        return ["", f"{name}: count error {error:+.1%} of {true} particles, in {seconds:.0f} s."]
    sizes = ("small", "medium", "large")
    told = ", ".join(f"{s} {figures['pooled'][f'mask_ap_{s}']['value']:.3f}" for s in sizes)
    if "at score 0.5" in figures:
        default = figures["at score 0.5"]["instance_f1"]["value"]
        told += f"; F1 from a score of 0.5 on: {default:.3f}"
    return ["", f"{name}, mask AP by size (COCO: below 32² px, to 96² px, above): {told}."]


def denoise(found: Records) -> list[str]:
    of: dict[str, dict[str, Any]] = {}  # figures by dose and method
    for r in found:
        for dose, methods in r["figures"]["doses"].items():
            of.setdefault(dose, {}).update({k: v for k, v in methods.items() if v})
    return [*_denoise_table(of, found), "", *_denoise_gains(of), *by(found)] if of else []


def _denoise_table(of: Mapping[str, Figures], found: Records) -> list[str]:
    minutes = {r["name"]: f"{r['training']['minutes']:.0f}" for r in found if r["training"]}
    rows = []
    for name in (name for name in METHODS if name in of["low-dose"]):
        cells = [f"{of[d][name]['psnr_db']:.2f}, {of[d][name]['ssim']:.3f}" for d in of]
        seconds = of["medium-dose"][name]["seconds"]
        cells += [f"{seconds:.2f}" if seconds else "", minutes.get(name, "")]
        rows.append([METHODS[name], *cells])
    doses = [f"{dose}: PSNR, SSIM" for dose in of]
    return table(" | ".join(["method", *doses, "s per image", "training, min"]), rows)


def _denoise_gains(of: Mapping[str, Figures]) -> list[str]:
    """Gains of the networks over others on the same images."""
    from temzoo.evaluation.bootstrap import mean_interval  # takes NumPy

    told = ["Mean gain in dB on the same images:", ""]
    known = [(name, other) for name, others in GAINS.items() for other in others]
    for name, other in (pair for pair in known if {*pair} <= {*of["low-dose"]}):
        gains = []
        for dose, methods in of.items():
            pairs = zip(methods[name]["of_images"], methods[other]["of_images"], strict=True)
            gain = vars(mean_interval([ours[0] - theirs[0] for ours, theirs in pairs]))
            gains.append(f"{dose} {score(gain, '{:+.2f}'.format)}")
        told.append(f"- {METHODS[name]}, beside {METHODS[other]}: {', '.join(gains)}")
    return told


TABLES = {
    "accuracy": accuracy,
    "recipe": recipe,
    "instances": instances,
    "denoise": denoise,
}
