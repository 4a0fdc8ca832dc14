"""Several tiles asked at once, their answers in order; and the bar that shows how far it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from temzoo.core.types import Tell

Question = TypeVar("Question")
Answer = TypeVar("Answer")


def in_order(
    ask: Callable[[Question], Answer], questions: Iterable[Question], *, in_flight: int = 1
) -> Iterator[Answer]:
    """The answers to questions, in their order.

    Args:
        ask: answers one; with ``in_flight`` above 1 it is called from threads.
        questions: the next is taken when there is room for it.
        in_flight: questions that are taken and not yet given back with their answer, at most.
    """
    if in_flight == 1:
        yield from map(ask, questions)
        return
    waiting: deque[Future[Answer]] = deque()
    pool = ThreadPoolExecutor(in_flight)
    try:
        for question in questions:
            if len(waiting) == in_flight:
                yield waiting.popleft().result()
            waiting.append(pool.submit(ask, question))
        while waiting:
            yield waiting.popleft().result()
    finally:  # after an error, what has not begun is left undone
        pool.shutdown(cancel_futures=True)


@contextmanager
def progress_bar(
    total: int, shown: bool | Tell, *, of: str = "tile"
) -> Iterator[Callable[[int], None]]:
    """Gives ``advance(count)``, which moves a progress bar when it is ``shown``, or tells it.

    Args:
        of: what is counted.
    """
    if callable(shown):
        tell, done = shown, 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            tell(done / total, f"{of} {done} of {total}")

        yield advance
        return
    if not shown:
        yield lambda count: None
        return
    from rich.progress import Progress  # not paid for by those who want no bar

    with Progress() as drawn:
        task = drawn.add_task(f"{of}s", total=total)
        yield lambda count: drawn.advance(task, count)
