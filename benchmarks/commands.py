"""What can be asked of the benchmarks: every command with its options.

Nothing here imports what a command needs, so that ``--help`` need not wait for it. A command's
module has ``MEASUREMENTS`` by the names that its first argument takes: each gets the arguments and
gives the fields of a record, or None where it has to be left out. Or it has ``main``, which gets
the arguments and yields them. See ``benchmarks.records.FIELDS``.
"""

from __future__ import annotations

import argparse
import ast
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.records import DATA, RESULTS, ROOT

# Commands to their modules, and what they are for.
COMMANDS = {
    "accuracy": ("accuracy", "IoU, boundaries, objects and sizes of weights; learning curves"),
    "recipe": ("recipes", "train a named recipe on real micrographs and score it"),
    "instances": ("instances", "particles told apart: AP, panoptic quality, counts"),
    "shapes": ("shapes", "whether Mask R-CNN learns outlines, on drawn shapes"),
    "denoise": ("denoise", "restorers beside classical filters: PSNR, SSIM, segmentation"),
    "colour": ("colour", "colouring of grey images, and the check of likeness"),
    "latent": ("latent", "what the latent numbers of VAEs know"),
    "label-next": ("label_next", "whether `temzoo label-next` finds the images with errors"),
    "measure": ("measure", "whether `temzoo measure` is right, and how fast"),
    "tuning": ("tuning", "what a search gains over the default configuration"),
    "variants": ("variants", "IoU of averages of several predictions of an image"),
    "throughput": ("throughput", "speed and memory of networks by engine, batch and size"),
    "precision": ("precision", "speed beside IoU for each engine and precision; tiling"),
    "batch-one": ("batch_one", "an image alone beside one of eight, in OpenVINO"),
    "training": ("training", "speed of training steps; bfloat16, frozen encoders"),
    "pipeline": ("pipeline", "whether training waits for its crops"),
    "labels": ("labels", "reading and drawing of large label files, beside datumaro"),
    "limits": ("limits", "bounds of memory at full size"),
    "startup": ("startup", "seconds until import, help and first prediction"),
    "export": ("export", "seconds and sizes of exports"),
    "peers": ("peers", "other packages on the same data, crops and minutes"),
    "ship": ("ship", "make shipped weights of a finished run"),
    "gpu-train": ("gpu.learning", "train a recipe on a GPU under JAX"),
    "gpu-speed": ("beside_torch", "speed on a GPU under JAX beside PyTorch"),
}
UNDER_JAX = ("gpu-train", "gpu-speed")  # they need no TensorFlow and write no page
ENVIRONMENTS = Path(os.environ.get("TEMZOO_PEERS", ROOT / ".peers"))  # of other packages
CONTESTANTS = (
    "temzoo-unet temzoo-mobilenet temzoo-mobilenet-scratch pytorch-unet smp-resnet18 smp-mobilenet"
    " atomai stardist sklearn"
)
SETS = (
    "unet_mobilenet/emps unet_mobilenet/emps-frozen unet_mobilenet/super1 unet/emps unet/emps-fast"
    " mask_rcnn/emps autoencoder/emps-denoise vae/particles"
)
Option = tuple[str, dict[str, Any]]


def option(flag: str, about: str, default: Any = None, **how: Any) -> Option:
    """As ``argparse`` takes it; a default is told, and gives the type of a single value."""
    if default is not None:
        how |= {"default": default}
        if isinstance(default, str | int | float | Path):
            how |= {} if "nargs" in how else {"type": type(default)}
            about = f"{about} ({default})"
    return flag, {"help": about, **how}


def names(known: str, default: str | None = None, more: str = "all") -> Option:
    """Which of the module's ``MEASUREMENTS``; with a default one, else several."""
    how = {"choices": [*known.split(), *more.split()], "metavar": "NAME"}
    about = f"of {', '.join(known.split())}"
    return option("names", about, default, nargs="?" if default else "+", **how)


def data(default: str) -> Option:
    return option("--data", "emps, super1, synthetic, or a folder", default)


WEIGHTS = "MODEL/NAME, a run folder or a weights file"
SEED = option("--seed", "another seed, recorded beside the first", type=int)
REPETITIONS = option("--repetitions", "of each that takes no minutes", type=int)
OPTIONS: dict[str, list[Option]] = {
    "accuracy": [
        option("--weights", f"{WEIGHTS}, otsu or forest"),
        data("synthetic"),
        option("--compare", "beside these", [], nargs="+", metavar="WEIGHTS"),
        option("--part", "val, train or all", "val"),
        option("--min-area-px", "drop smaller objects", 10),
        option("--curve", "train on N images each", nargs="+", type=int, metavar="N"),
        option("--curve-model", "that is trained", "unet"),
    ],
    "recipe": [
        names(
            "emps-frozen emps-pyramid emps-scratch-encoder emps-unet emps-unet-fast emps-forest"
            " emps-otsu emps10-frozen emps10-unet emps10-forest emps10-otsu super1-frozen super1",
            more="",
        ),
        option("--run", "score this finished run instead of training", type=Path),
        SEED,
    ],
    "instances": [
        names("emps-mask-rcnn emps-watershed loops-mask-rcnn loops-watershed dense speed")
    ],
    "shapes": [names("overfit held-out")],
    "denoise": [names("filters supervised blind-spot segmentation bm3d")],
    "colour": [names("phases photographs")],
    "latent": [
        names("digits particles compare"),
        option("--seeds", "of the trainings", (0, 1, 2), nargs="+", type=int),
    ],
    "label-next": [option("--weights", WEIGHTS, "unet_mobilenet/emps-frozen"), data("emps")],
    "measure": [
        names("speed labels synthetic objects", "speed"),
        REPETITIONS,
        option("--training", "micrographs of each set", 40),
        option("--images", "judge on fewer images of each set", type=int),
    ],
    "tuning": [
        names("grid random bayesian", "all"),
        option("--trials", "of each search", 9),
        option("--epochs", "of each trial", 4),
    ],
    "variants": [
        option("weights", WEIGHTS),
        option("--set", "of the model", [], action="append", metavar="NAME=VALUE"),
        data("emps"),
    ],
    "throughput": [option("--models", "registered names", nargs="+", metavar="MODEL")],
    "precision": [
        option("--weights", WEIGHTS),
        data("synthetic"),
        option("--limit", "so many images at most", type=int),
        option("--threads", "of OpenVINO and ONNX Runtime; all cores", type=int),
    ],
    "batch-one": [
        option("--weights", WEIGHTS, "unet_mobilenet/emps"),
        option("--sides", "px", [256, 512], nargs="+", type=int),
        option("--repetitions", "of each", 7),
    ],
    "training": [
        data("synthetic"),
        option("--only", "one of the two parts", choices=("steps", "iou")),
        option("--epochs", "of the trainings that IoU is compared of", type=int),
    ],
    "labels": [option("--only", "one of the exports", choices=("images", "video")), REPETITIONS],
    "limits": [
        names(
            "read-points read-shapes read-boxes read-video predict-identity predict-noise"
            " predict-classes8 predict-save predict-unet8 predict-mobilenet predict-unet"
        )
    ],
    "startup": [option("--repetitions", "fresh processes of each", type=int)],
    "export": [option("models", "registered names; all", nargs="*", metavar="MODEL")],
    "peers": [
        option("--setup", "make these environments; all", nargs="*", metavar="NAME"),
        option("--environments", "folder", ENVIRONMENTS),
        data("emps"),
        option("--images", "at most", nargs=2, type=int, metavar=("TRAIN", "VAL")),
        option("--minutes", "of learning", 5.0),
        option("--threads", "of each contestant", 2),
        option("--crop", "side, px", 256),
        option("--batch", "crops of a step", 8),
        option("--seed", "of crops and first weights", 0),
        option("--names", f"of {CONTESTANTS}", nargs="+", choices=CONTESTANTS.split()),
        option("--encoder-weights", 'of segmentation_models.pytorch: "imagenet" downloads'),
        option("--speed", "speed of one architecture instead", action="store_true"),
        option("--repetitions", "of --speed", 7),
        option("--work", "folder", Path("runs") / "peers"),
    ],
    "ship": [
        option("name", f"of {SETS}", choices=SETS.split(), metavar="MODEL/NAME"),
        option("--run", "the folder of its finished run", type=Path),
        option("--seed", "train again with this seed and ship nothing", type=int),
        option("--precisions", "enter what `precision` found", action="store_true"),
    ],
    "gpu-train": [
        option("recipe", "what is trained", choices=("emps-unet", "emps-unet-fast")),
        option("--steps", "over which the rate rises and falls", 10_000),
        option("--until", "stop at this share of them", 1.0),
        option("--seed", "of weights, crops and changes", 0),
        option("--float32", "instead of mixed bfloat16", action="store_true"),
        option("--run", "folder of the run; runs/gpu-RECIPE", type=Path),
    ],
    "gpu-speed": [option("--seconds", "of each row, about", 4.0)],
    "all": [
        option("--resume", "leave out what was finished on this machine", action="store_true"),
        option("--only", "the steps of these alone", nargs="+", choices=[*COMMANDS]),
    ],
}
COMMON = [
    option("--quick", "small: minutes, without data", action="store_true"),
    option("--out", "folder of the results", RESULTS),
    option("--data-folder", "of named datasets", DATA),
    option(
        "--with",
        "run this first: datasets, contestants, engines, models of your own",
        [],
        dest="own",
        type=Path,
        action="append",
        metavar="FILE.py",
    ),
]
WHOLE = {"all": "all that needs no choice", "page": "results/README.md anew from the records"}


def asked(words: Sequence[str], about: str | None = None) -> argparse.Namespace:
    """The parsed command line; ``again(**changes)`` of it gives the command that repeats it."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks", description=about, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parsers = {}
    for name, told in {**{name: told for name, (_, told) in COMMANDS.items()}, **WHOLE}.items():
        head = _head(name) if name in words[:1] else None
        parsers[name] = commands.add_parser(name, help=told, description=head, formatter_class=raw)
        for flag, how in (*OPTIONS.get(name, ()), *COMMON):
            parsers[name].add_argument(flag, **how)
    arguments = parser.parse_args(words)
    arguments.again = _repeating(parsers[arguments.command], arguments)
    return arguments


def _head(command: str) -> str | None:
    """What a command's module says of itself, read without running it."""
    if command in WHOLE:
        return None
    path = Path(__file__).parent / f"{COMMANDS[command][0].replace('.', '/')}.py"
    path = path if path.is_file() else path.with_suffix("") / "__init__.py"
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def _repeating(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Callable:
    """``again(**changes)``: the command of these arguments, with some changed."""

    def again(**changes: Any) -> str:
        words, options = ["python", "-m", "benchmarks", arguments.command], []
        for action in parser._actions:
            value = {**vars(arguments), **changes}.get(action.dest)
            if action.dest == "out" or value in (None, False, []) or value == action.default:
                continue
            values = [str(each) for each in (value if isinstance(value, list | tuple) else [value])]
            flag = max(action.option_strings, key=len, default="")
            if not flag:
                words += values
            elif value is True:
                options.append(flag)
            elif isinstance(action, argparse._AppendAction):
                options += [word for each in values for word in (flag, each)]
            else:
                options += [flag, *values]
        return shlex.join([*words, *options])

    return again
