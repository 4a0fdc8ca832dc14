"""A process of its own that TensorFlow works in, beside that of napari's window.

In one process with Mesa's OpenGL for processors (22.3, with LLVM 15), TensorFlow 2.21 crashes when
it is imported. Apart, the window stays quick too, and a job that runs out of memory does not take
the layers with it. Jobs and answers go through pipes, pickled by one program for itself.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from queue import Queue
from threading import Event, Thread
from typing import IO, Any

from temzoo.core.types import Tell
from temzoo.viewer.layers import LayerData

EXPECTED = (ValueError, OSError, RuntimeError, ImportError)  # what temzoo says in words


class Process:
    """The process, begun with its first job; it does one at a time.

    Args:
        heard: is called, in a thread of its own, with ("told", share, text) as often as the job
            tells how far it is, then with ("ended", result), ("cancelled",) or ("failed", text).
    """

    def __init__(self, heard: Callable[[tuple], None]):
        self._heard, self._process, self._closed = heard, None, False

    def ask(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Begins a job: ``work(tell, *arguments)``, a function of a module, there.

        Raises:
            ValueError: the arguments cannot be handed to another process.
        """
        try:
            question = pickle.dumps((work, arguments))
        except Exception as error:  # of whatever kind: layers hold what any plugin makes
            raise ValueError(
                f"layers must hold what another process can be given. Received: {error}. Save the"
                " layer, and open its file."
            ) from error
        if self._process is None or self._process.poll() is not None:
            self._process = self._begun()
        self._send(question)

    def cancel(self) -> None:
        """Lets the job's next ``tell`` raise CancelledError."""
        self._send(pickle.dumps(None))

    def close(self) -> None:
        """Ends the process, whatever it does; nothing is heard of it any more."""
        self._closed = True
        if self._process is not None:
            self._process.kill()
            self._listener.join()

    def _send(self, question: bytes) -> None:
        if self._process is None:
            return
        try:
            self._process.stdin.write(question)
            self._process.stdin.flush()
        except OSError:  # it is gone, which ``_listen`` says
            return

    def _begun(self) -> subprocess.Popen:
        home = str(Path(__file__).parents[2])
        paths = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))
        process = subprocess.Popen(
            [sys.executable, "-m", "temzoo.viewer.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},
        )
        self._listener = Thread(target=self._listen, args=(process,), daemon=True)
        self._listener.start()
        return process

    def _listen(self, process: subprocess.Popen) -> None:
        try:
            while True:
                answer = pickle.load(process.stdout)
                if not self._closed:
                    self._heard(answer)
        except (EOFError, pickle.UnpicklingError):
            code = process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # what was not taken any more is lost
                pipe.close()
        if not self._closed:
            self._heard(("failed", f"The process of the job ended with code {code}: it ran out of"
                         " memory, or its libraries crashed. Take smaller images."))  # fmt: skip


def found(tell: Tell, image: LayerData, weights: str) -> LayerData:
    """The job of ``particles.found_in``; the model stays in memory for the next one."""
    from temzoo.viewer.particles import found_in

    tell(0.0, f"loading {weights}")
    return found_in(image, _model(weights), weights=weights, tell=tell)


@lru_cache(1)
def _model(weights: str) -> Any:
    from temzoo.zoo.building import trained_model

    return trained_model(weights)


def trained(tell: Tell, pairs: Any, how: Mapping[str, Any]) -> Any:
    """The job of ``learning.train_on``; once it has begun, cancelling keeps the best weights."""
    from temzoo.viewer.learning import train_on

    def tell_training(share: float, text: str) -> None:
        try:
            tell(share, text)
        except CancelledError:
            raise KeyboardInterrupt from None

    tell(0.0, "preparing the training")
    return train_on(pairs, tell=tell_training, **how)


def main() -> None:
    """Does the jobs that come through the standard input, until it is closed."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    waiting: Queue[Any] = Queue()
    cancelled = Event()
    Thread(target=_take, args=(sys.stdin.buffer, waiting, cancelled), daemon=True).start()

    def say(*answer: Any) -> None:
        pickle.dump(answer, answers)
        answers.flush()

    def tell(share: float, text: str) -> None:
        if cancelled.is_set():
            raise CancelledError
        say("told", share, text)

    while (job := waiting.get()) is not None:
        work, arguments = job
        try:
            result = work(tell, *arguments)
        except CancelledError:
            say("cancelled")
        except EXPECTED as error:
            say("failed", str(error))
        except Exception:
            say("failed", traceback.format_exc())
        else:
            say("ended", result)


def _take(questions: IO[bytes], waiting: Queue[Any], cancelled: Event) -> None:
    while True:
        try:
            job = pickle.load(questions)
        except EOFError:
            waiting.put(None)
            cancelled.set()  # the window is gone
            return
        if job is None:
            cancelled.set()
        else:
            cancelled.clear()
            waiting.put(job)


if __name__ == "__main__":
    main()
