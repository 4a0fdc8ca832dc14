"""``python -m benchmarks.gpu``: see the package's head."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import benchmarks.gpu as package
from benchmarks.gpu.recipes import RECIPES


def parser() -> argparse.ArgumentParser:
    main_parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=package.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = main_parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    pack = commands.add_parser("pack", help="data and encoder, small, to travel")
    pack.add_argument("names", nargs="*", default=["emps", "super1"], help="datasets")
    pack.add_argument("--data", type=Path, help="folder of the named datasets")
    pack.add_argument("--out", type=Path, default=Path("packed"))
    pack.add_argument("--quality", type=int, default=101, help="of WebP; 101: lossless (101)")
    train = commands.add_parser("train", help="a recipe, for so many seconds")
    train.add_argument("recipe", choices=[*RECIPES])
    train.add_argument("--packed", type=Path, default=Path("packed"), help="what pack wrote")
    train.add_argument("--seconds", type=float, default=500.0, help="of learning (500)")
    train.add_argument("--start", help="weights to go on from: NAME of a shipped set, or a run")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--float32", action="store_true", help="instead of mixed bfloat16")
    train.add_argument("--out", type=Path, help="folder of the run (runs/gpu-RECIPE)")
    speed = commands.add_parser("speed", help="images/s beside the same network in PyTorch")
    speed.add_argument("--seconds", type=float, default=4.0, help="of each row, about (4)")
    speed.add_argument("--quick", action="store_true", help="small, to see whether it runs")
    speed.add_argument("--out", type=Path, help="folder of the results")
    return main_parser


def main(words: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(words)
    return {"pack": _pack, "train": _train, "speed": _speed}[arguments.command](arguments)


def _pack(arguments: argparse.Namespace) -> int:
    from benchmarks.datasets import DATA
    from benchmarks.gpu.packed import pack

    for name in arguments.names:
        path = pack(name, arguments.data or DATA, arguments.out, arguments.quality)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from benchmarks.gpu import learning, packed
    from benchmarks.gpu.hardware import device, versions

    recipe = RECIPES[arguments.recipe]
    data = packed.unpack(arguments.packed / f"{recipe.data}.npz")
    folder = arguments.out or Path("runs") / f"gpu-{arguments.recipe}"
    command = f"python -m benchmarks.gpu train {arguments.recipe} --seconds {arguments.seconds:g}"
    command += f" --start {arguments.start}" if arguments.start else ""
    told = {"command": command, "device": device(), "versions": versions(), "seed": arguments.seed}
    began = time.strftime("%Y-%m-%d")

    def save(model):
        learning.write(model, recipe, data.class_names, folder, told | {"date": began})

    def say(line):
        print(f"{arguments.recipe}: {line}", flush=True)

    done = learning.train(
        recipe,
        data,
        seconds=arguments.seconds,
        start=arguments.start,
        seed=arguments.seed,
        bfloat16=not arguments.float32,
        save=save,
        say=say,
    )
    told |= {"date": began, "history": done.history, "steps": done.steps}
    told |= {"seconds": done.seconds, "compiling_s": done.compiling_s}
    learning.write(done.model, recipe, data.class_names, folder, told)
    say(f"{done.steps} steps in {done.seconds:.0f} s: {folder}")
    return 0


def _speed(arguments: argparse.Namespace) -> int:
    from benchmarks.gpu import speed

    return speed.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
