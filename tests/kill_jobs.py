"""Kills temzoo's commands at random moments, and shows that nothing is lost or half written.

    python tests/kill_jobs.py --kills 20                  # make kill-test
    python tests/kill_jobs.py --failures                  # a full disk and such, `job_failures.py`
    python tests/kill_jobs.py --cluster --kills 6         # the driver of a job on a Ray cluster

Each command runs once in peace, and then so many times until SIGKILL ends its whole process group,
at a moment that is drawn from the time which it took. After each kill every file under a final name
must open by its reader; the command, run again or with --resume, must end well, with the files of
the run in peace (weights bit for bit, maps and tables to the byte, but for the times that they
state), and without leftovers. The exit status is 1 where that is not so.
"""

import argparse
import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import forked_jobs as jobs
import numpy as np
from job_failures import all_failures


@dataclass
class Kills:
    """What came of the kills of one command."""

    job: jobs.Job
    killed: int = 0
    late: int = 0  # it had ended: no kill
    left: int = 0  # kills after which a hidden, partial file lay there
    wrong: list[str] = field(default_factory=list)


def in_peace(job: jobs.Job, folder: Path) -> tuple[Path, float, float]:
    """The results of a run, when its work began, and when it ended, s."""
    out = folder / job.name / "peace"
    out.mkdir(parents=True)
    process = jobs.start(job.words(out), folder / job.name / "log")
    process.wait(until=lambda: not job.begun or (out / job.begun).exists())
    begun = time.monotonic() - process.began if job.begun else 0.0
    if process.wait():
        raise RuntimeError(f"{job.name}: {process.log.read_text()}")
    return out, begun, time.monotonic() - process.began


def kill_once(done: Kills, reference: Path, after: float, since_begun: bool) -> None:
    """One kill, so many seconds after the start, or after the work has begun; and what follows."""
    job, log = done.job, reference.parent / "log"
    out = reference.with_name("killed")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    process = jobs.start(job.words(out), log)
    if since_begun:
        process.wait(until=(out / job.begun).exists)
    moment = time.monotonic() + after
    process.wait(until=lambda: time.monotonic() >= moment)
    if process.poll() is not None:
        done.late += 1
        return
    process.kill()
    done.killed += 1
    done.left += bool(jobs.leftovers(out))
    wrong = list(jobs.damaged(out))
    again = jobs.start(job.repeated(out), log)
    if again.wait():
        wrong.append(f"run again: exit status {again.status}: {log.read_text()[-300:]}")
    wrong += [f"differs: {name}" for name in jobs.differences(out, reference)]
    wrong += [f"left: {name}" for name in jobs.leftovers(out)]
    done.wrong += [f"{job.name}, killed after {after:.3f} s: {what}" for what in wrong]


def kill_often(job: jobs.Job, folder: Path, kills: int, seed: int) -> Kills:
    began = time.monotonic()
    reference, begun, ended = in_peace(job, folder)
    rng = np.random.default_rng([seed, *job.name.encode()])
    done = Kills(job)
    lasts = ended - begun
    for _ in range(3 * kills):
        if done.killed < kills:
            after, late = rng.uniform(0, lasts), done.late
            kill_once(done, reference, after, bool(job.begun))
            if done.late > late:  # the first run is the slowest
                lasts = after
    print(
        f"{job.name:14s} {ended:5.1f} s in peace; {done.killed} kills, {done.late} more came after"
        f" its end, {done.left} left hidden files; {len(done.wrong)} wrong;"
        f" {time.monotonic() - began:.0f} s",
        flush=True,
    )
    print(*done.wrong[:10], sep="\n", end="\n" * bool(done.wrong), flush=True)
    return done


def ray_node() -> subprocess.Popen:
    import cluster_demo  # it sets what Ray asks of the environment

    node = cluster_demo.start_node("--head", "--port=0", "--include-dashboard=false")
    cluster_demo.wait_for(nodes=1)
    return node


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--failures", action="store_true", help="no kills, but disks that fail")
    parser.add_argument("--cluster", action="store_true", help="on a Ray node that it starts")
    parser.add_argument("--only", nargs="*", help="commands")
    asked = parser.parse_args()
    began = time.monotonic()
    jobs.import_heavy()
    folder = Path(tempfile.mkdtemp(prefix="kill-jobs-"))
    os.environ["TMPDIR"] = str(folder)
    print(f"seed {asked.seed}, {asked.kills} kills of each command, in {folder}", flush=True)
    made, wrong, kills = jobs.inputs(folder), 0, 0
    chosen = [j for j in jobs.all_jobs(made) if not asked.only or j.name in asked.only]
    if asked.cluster:
        chosen, node = [jobs.cluster_job(made)], ray_node()
        atexit.register(os.killpg, node.pid, signal.SIGKILL)
    for job in chosen:
        if asked.failures:
            reference, begun, ended = in_peace(job, folder)
            wrong += len(all_failures(job, reference, ended - begun))
        else:
            done = kill_often(job, folder, asked.kills, asked.seed)
            wrong, kills = wrong + len(done.wrong), kills + done.killed
    print(f"{kills} kills, {wrong} wrong, {(time.monotonic() - began) / 60:.1f} min")
    if not wrong:
        shutil.rmtree(folder)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
