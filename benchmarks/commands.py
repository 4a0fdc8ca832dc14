"""What can be asked of the benchmarks: every command with its options.

Nothing here imports what a command needs, so that ``--help`` need not wait for it. A command's
module has ``MEASUREMENTS`` by the names that its first argument takes: each gets the arguments and
gives the fields of a record, or None where it has to be left out. Or it has ``main``, which gets
the arguments and yields them. See ``benchmarks.records.FIELDS``.
"""

import argparse
import ast
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.records import DATA, RESULTS

# Commands to their modules, and what they are for.
COMMANDS = {
    "accuracy": ("accuracy", "IoU, objects and sizes of weights"),
    "recipe": ("recipes", "train a named recipe on real micrographs and score it"),
    "instances": ("instances", "particles told apart: AP, panoptic quality, counts"),
    "boxes": ("boxes", "a detector of boxes: AP, counts and speed beside others"),
    "denoise": ("denoise", "restorers beside classical filters: PSNR, SSIM, segmentation"),
    "colour": ("colour", "colouring of grey images, and the check of likeness"),
    "latent": ("latent", "what the latent numbers of VAEs know"),
    "label-next": ("label_next", "whether `temzoo label-next` finds the images with errors"),
    "measure": ("measure", "whether `temzoo measure` is right, and how fast"),
    "sizes": ("size_errors", "how far weights are off in D50 and number, and their intervals"),
    "scale-bars": ("scale_bars", "whether scale bars drawn into pictures are read right"),
    "morphology": ("morphology", "whether sphere, rod, faceted … are told right"),
    "tuning": ("tuning", "what a search gains over the default configuration"),
    "throughput": ("throughput", "speed and memory of networks by engine, batch and size"),
    "precision": ("precision", "speed beside IoU for each engine and precision; tiling"),
    "noise": ("frames", "what noise costs, and how much of it smoothing wins back"),
    "large": ("frames", "what large frames cost, and how much of it binning wins back"),
    "training": ("training", "speed of training steps in float32 and bfloat16, and IoU"),
    "pipeline": ("pipeline", "whether training waits for its crops"),
    "labels": ("labels", "reading and drawing of large label files, beside datumaro"),
    "limits": ("limits", "bounds of memory at full size"),
    "startup": ("startup", "seconds until import, help and first prediction"),
    "older": ("older", "predictions, trainings, installation beside an older commit"),
    "peers": ("peers", "other packages on the same data, crops and minutes"),
    "ship": ("ship", "make shipped weights of a finished run"),
    "gpu-train": ("gpu_train", "train a recipe on a GPU under JAX"),
    "gpu-speed": ("beside_torch", "speed on a GPU under JAX beside PyTorch"),
    "all": ("__main__", "all that needs no choice"),
    "page": ("page", "results/README.md anew from the records"),
}
UNDER_JAX = ("gpu-train", "gpu-speed")  # they need no TensorFlow and write no page
Option = tuple[str, dict[str, Any]]


def option(flag: str, about: str, default: Any = None, **how: Any) -> Option:
    """As ``argparse`` takes it; a default is told, and gives the type of a single value."""
    if default is not None:
        how |= {"default": default}
        if isinstance(default, str | int | float | Path):
            how |= {} if "nargs" in how else {"type": type(default)}
            about = f"{about} ({default})"
    return flag, {"help": about, **how}


def data(default: str) -> Option:
    return option("--data", "emps, super1, synthetic, or a folder", default)


WEIGHTS = "MODEL/NAME, a run folder or a weights file"
NAMES = option("names", "which of those above, or all", nargs="+")
OPTIONS: dict[str, list[Option]] = {
    **{key: [NAMES] for key in ("instances", "boxes", "denoise", "colour", "limits")},
    "accuracy": [
        option("--weights", f"{WEIGHTS}, otsu or forest", required=True),
        data("synthetic"),
        option("--compare", "beside these", [], nargs="+", metavar="WEIGHTS"),
    ],
    "recipe": [NAMES, option("--seed", "another seed, recorded beside the first", type=int)],
    "latent": [NAMES, option("--seeds", "of the trainings", (0, 1, 2), nargs="+", type=int)],
    "label-next": [option("--weights", WEIGHTS, "unet_mobilenet/emps-frozen"), data("emps")],
    "measure": [option("names", "one of those above", "speed", nargs="?")],
    "sizes": [option("--weights", WEIGHTS, ["particles/emps"], nargs="+"), data("synthetic")],
    "morphology": [option("names", "which of those above, or all", "all", nargs="?")],
    "tuning": [option("names", "one of those above", "all", nargs="?")],
    "throughput": [option("--models", "registered names", nargs="+", metavar="MODEL")],
    "precision": [option("--weights", WEIGHTS, "unet/emps-fast"), data("synthetic")],
    "noise": [option("--weights", WEIGHTS, "particles/emps"), data("synthetic")],
    "large": [
        option("--weights", WEIGHTS, "particles/emps"),
        option("--every", "so manieth validation micrograph", 1),
        data("emps"),
    ],
    "training": [
        data("synthetic"),
        option("--only", "one of the two parts", choices=("steps", "iou")),
    ],
    "startup": [option("--repetitions", "fresh processes of each", 9)],
    "older": [
        NAMES,
        option("--commit", "to compare with", "f76f78d"),
        option("--images", "in the folder", 200),
        option("--seeds", "of trainings", 3),
        option("--work", "folder of trainings, which go on there", Path("runs") / "older"),
        option("--repetitions", "of each, after a first that is not counted", 5),
    ],
    "peers": [
        option("--setup", "make these environments; all", nargs="*", metavar="NAME"),
        data("emps"),
        option("--minutes", "of learning", 5.0),
        option("--threads", "of each contestant", 2),
        option("--names", "of the contestants", nargs="+"),
        option("--add", "to the record on file, of the same job", action="store_true"),
        option("--seeds", "of the two that are first in IoU; of the others one", 1),
        option("--speed", "speed of one architecture instead", action="store_true"),
        option("--work", "folder", Path("runs") / "peers"),
    ],
    "ship": [
        option("name", "as below", metavar="MODEL/NAME"),
        option("--run", "folder of its finished run, or of several", type=Path, nargs="+"),
        option("--seed", "train again with this seed and ship nothing", type=int),
        option("--precisions", "enter what `precision` found", action="store_true"),
        option("--errors", "enter what `sizes` found", action="store_true"),
    ],
    "gpu-train": [
        option("recipe", "what is trained", choices=("emps-unet", "emps-unet-fast")),
        option("--steps", "over which the rate rises and falls", 10_000),
        option("--until", "stop at this share of them", 1.0),
        option("--seed", "of weights, crops and changes", 0),
        option("--run", "folder of the run; runs/gpu-RECIPE", type=Path),
    ],
    "gpu-speed": [option("--seconds", "of each row, about", 4.0)],
    "all": [option("--resume", "leave out what was finished here", action="store_true")],
}
FOLDERS = ("out", "work")  # where results and trainings lie changes none of them
MINE = "run this first: datasets, contestants, models of your own"
COMMON = [
    option("--quick", "small: minutes, without data", action="store_true"),
    option("--out", "folder of the results", RESULTS),
    option("--data-folder", "of named datasets", DATA),
    option("--with", MINE, [], dest="own", type=Path, action="append", metavar="FILE.py"),
]


def asked(words: Sequence[str], about: str | None = None) -> argparse.Namespace:
    """The parsed command line; ``again(**changes)`` of it gives the command that repeats it."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks", description=about, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, told) in COMMANDS.items():
        head = _head(module) if name in words[:1] else None
        added = commands.add_parser(name, help=told, description=head, formatter_class=raw)
        for flag, how in (*OPTIONS.get(name, ()), *COMMON):
            added.add_argument(flag, **how)
    arguments = parser.parse_args(words)
    actions = commands.choices[arguments.command]._actions
    arguments.again = lambda **changes: _command(actions, {**vars(arguments), **changes})
    return arguments


def _head(module: str) -> str | None:
    """What a module says of itself, read without running it."""
    path = Path(__file__).with_name(module)
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def _command(actions: Sequence[argparse.Action], asked: dict[str, Any]) -> str:
    """The command of some arguments: what differs from the usual, but for folders of results."""
    words, options = ["python", "-m", "benchmarks", asked["command"]], []
    for action in actions:
        value = asked.get(action.dest)
        if action.dest in FOLDERS or value in (None, False, []) or value == action.default:
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
