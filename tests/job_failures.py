"""What temzoo's commands do where they cannot write: ``kill_jobs.py --failures``, as root on Linux.

A disk that is full after a part of the results (a small tmpfs), one that is read-only, and a folder
that is renamed in mid-run. Each must be one line of error and exit status 1, without a damaged or
hidden file; with the trouble mended, the same again must end as a run in peace.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import forked_jobs as jobs

PAGE = 4096
WRITE_AT_ONCE = ("convert", "convert-masks", "measure", "report")  # what they compute first
SHARES = (0.0, 0.3, 0.7, 0.95)  # of the results that fit on the disk


@contextmanager
def disk(folder: Path, size: int) -> Iterator[None]:
    """A file system in memory of so many bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", folder], check=True)


def size_of(out: Path) -> int:
    paths = [path for path in out.rglob("*") if path.is_file()]
    return sum(-(-path.stat().st_size // PAGE) * PAGE for path in paths)


def refusal(
    job: jobs.Job, out: Path, log: Path, during: Callable[[int], None] = lambda pid: None
) -> list:
    """What is wrong with how a command ends that cannot write."""
    process = jobs.start(job.words(out), log)
    during(process.pid)
    status, said = process.wait(), log.read_text(errors="replace")
    lines = [line for line in said.splitlines() if line.strip()]
    wrong = [] if status == 1 else [f"exit status {status}: {said[-300:]}"]
    if "Traceback" in said or not lines or not lines[-1].startswith("temzoo: "):
        wrong.append(f"no line of error: {said[-600:]}")
    return wrong


def left_behind(out: Path) -> list[str]:
    return [*jobs.damaged(out), *hidden(out)]


def hidden(out: Path) -> list[str]:
    return [f"left: {name}" for name in jobs.leftovers(out)]


def ends_well(job: jobs.Job, out: Path, reference: Path, log: Path) -> list[str]:
    again = jobs.start(job.repeated(out), log)
    wrong = [f"again: exit status {again.status}: {log.read_text()[-300:]}"] if again.wait() else []
    wrong += [f"differs: {name}" for name in jobs.differences(out, reference)]
    return wrong + hidden(out)


def full_disk(job: jobs.Job, out: Path, reference: Path, log: Path, share: float) -> list[str]:
    with disk(out, max(PAGE, int(share * size_of(reference)) // PAGE * PAGE)):
        wrong = [*refusal(job, out, log), *left_behind(out)]
        remount(out, "size=500m")
        return wrong + ends_well(job, out, reference, log)


def read_only(job: jobs.Job, out: Path, reference: Path, log: Path) -> list[str]:
    with disk(out, 500 * 2**20):
        remount(out, "ro")
        wrong = [*refusal(job, out, log), *(str(path) for path in out.rglob("*"))]
        remount(out, "rw")
        return wrong + ends_well(job, out, reference, log)


def taken_away(job: jobs.Job, out: Path, reference: Path, log: Path, seconds: float) -> list[str]:
    """Renamed when the command knows of it, and so many seconds have gone by since a first file."""
    out.mkdir()
    elsewhere = out.with_name("elsewhere")

    def rename(pid: int) -> None:
        until = time.monotonic() + 60
        while not _is_open(out, pid) and time.monotonic() < until:
            time.sleep(0.001)
        if job.name not in WRITE_AT_ONCE:
            while not any(out.rglob("*")) and time.monotonic() < until:
                time.sleep(0.002)
            time.sleep(seconds)
        out.rename(elsewhere)

    wrong = [*refusal(job, out, log, rename), *jobs.damaged(elsewhere)]
    wrong += [f"made anew: {path}" for path in out.rglob("*")]
    shutil.rmtree(out, ignore_errors=True)
    elsewhere.rename(out)
    return wrong + ends_well(job, out, reference, log)


def _is_open(folder: Path, pid: int) -> bool:
    """Whether a process holds a handle of a folder, or of what is in it."""
    for handle in Path(f"/proc/{pid}/fd").glob("*"):
        with suppress(OSError):
            if Path(os.readlink(handle)).is_relative_to(folder):
                return True
    return False


def all_failures(job: jobs.Job, reference: Path, work_s: float) -> list[str]:
    """What is wrong, after every failure of a command."""
    log, wrong, began = reference.parent / "log", [], time.monotonic()
    tried = {f"disk full at {share:.0%}": (full_disk, share) for share in SHARES}
    tried |= {"read-only": (read_only,), "taken away": (taken_away, work_s / 3)}
    for name, (fail, *more) in tried.items():
        out = reference.with_name("failing")
        shutil.rmtree(out, ignore_errors=True)
        found = fail(job, out, reference, log, *more)
        wrong += [f"{job.name}, {name}: {what}" for what in found]
    seconds = time.monotonic() - began
    print(f"{job.name:14s} {len(tried)} failures; {len(wrong)} wrong; {seconds:.0f} s", flush=True)
    print(*wrong[:20], sep="\n", end="\n" * bool(wrong), flush=True)
    return wrong
