"""Timings that can be compared: repetitions in turns, their spread, processes of their own."""

import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.records import ROOT

LEAST, MOST = 3, 40  # repetitions
WARM_S = 5.0  # a first call of so many seconds is warm-up enough; else there is a second
Clock = Callable[[], float]


def tell(doing: str) -> None:
    """A line about what is being measured, for those who wait for it."""
    print(f"   {doing} …", file=sys.stderr, flush=True)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most of some repetitions, and how many they were."""
    median, least, most = statistics.median(values), min(values), max(values)
    return {"median": median, "least": least, "most": most, "repetitions": len(values)}


def spreads(found: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    """By name: the spread of each figure over its repetitions."""
    return {
        name: {key: spread([one[key] for one in each]) for key in each[0]}
        for name, each in found.items()
    }


def ratio(slow: Sequence[float], fast: Sequence[float]) -> dict[str, float]:
    """Spread of how many times as long the first took, turn by turn."""
    return spread([s / f for s, f in zip(slow, fast, strict=False)])


def rates(seconds: Sequence[float], images: int = 1) -> dict[str, float]:
    """Spread of the images per second of calls that take so many; of the median call its own."""
    return spread([images / s for s in seconds]) | {"median": images / statistics.median(seconds)}


def seconds_of(call: Callable[[], Any], clock: Clock = time.perf_counter) -> float:
    """How long a call takes, by a clock."""
    return timed(call, clock)[1]


def timed(call: Callable[[], Any], clock: Clock = time.perf_counter) -> tuple[Any, float]:
    """What a call gives, and how long it takes."""
    began = clock()
    found = call()
    return found, clock() - began


def in_turns(
    runs: Mapping, *, budget=0.0, least=LEAST, most=MOST, clock=time.perf_counter, rest_s=0.0
) -> dict[Any, list[float]]:
    """Seconds of each call; the runs take turns, so that other work slows them alike.

    Each has a call or two to warm up. There are ``least`` turns, and until ``budget`` seconds are
    over up to ``most``. ``rest_s``: seconds before each call, where threads that spin after one
    would slow the next.
    """
    for run in runs.values():
        if seconds_of(run) < WARM_S:
            run()
    found: dict[Any, list[float]] = {name: [] for name in runs}
    began = time.perf_counter()
    for turn in range(max(least, most)):
        if turn >= least and time.perf_counter() - began > budget:
            break
        for name, run in runs.items():
            time.sleep(rest_s)
            found[name].append(seconds_of(run, clock))
    return found


def memory(what: str) -> int:
    """Bytes of this process: "VmHWM", the most there ever was, or "VmRSS", now."""
    with open("/proc/self/status", encoding="ascii") as file:
        (line,) = (line for line in file if line.startswith(f"{what}:"))
    return int(line.split()[1]) * 1024


def in_child(function: str, *arguments: Any, **environment: str) -> Any:
    """What ``module:function`` gives in a fresh process, with more variables of the environment.

    Arguments and answer are what JSON can hold.
    """
    command = [sys.executable, "-m", "benchmarks.timing", function, json.dumps(arguments)]
    return json.loads(last_line(command, **environment))


def last_line(command: Sequence[Any], cwd: Path = ROOT, **environment: str) -> str:
    """The last line that a process prints, run in a folder; a RuntimeError where it fails."""
    words = [str(word) for word in command]
    run = subprocess.run(
        words, capture_output=True, text=True, cwd=cwd, env=os.environ | environment, check=False
    )
    if run.returncode:
        said = (run.stdout + run.stderr)[-2000:]
        raise RuntimeError(f"{' '.join(words)[:300]} must run to its end. Received:\n{said}")
    return (run.stdout.splitlines() or [""])[-1]


def threads_of(count: int) -> dict[str, str]:
    """Variables of the environment of a process with so many threads."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    counts = dict.fromkeys((*names, "TF_NUM_INTRAOP_THREADS"), str(count))
    quiet = {"TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "MPLBACKEND": "Agg"}
    return counts | quiet | {"PYTHONPATH": str(ROOT)}


if __name__ == "__main__":
    from benchmarks import own

    own.load_inherited()
    module, _, name = sys.argv[1].partition(":")
    print(json.dumps(getattr(importlib.import_module(module), name)(*json.loads(sys.argv[2]))))
