"""The process beside napari's: jobs, what it tells, cancelling, and its end."""

import os
from queue import Queue

import pytest

from temzoo.viewer.process import Process, found


def add(tell, one, two):
    print("no answer")  # to the standard output, as libraries do
    tell(0.5, "half")
    return one + two


def turn(tell):
    while True:
        tell(0.1, "turning")


def fail(tell, error):
    raise error


def end(tell):
    os._exit(3)


@pytest.fixture
def process(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(__file__))  # the functions of this file
    heard = Queue()
    made = Process(heard.put)
    made.heard = lambda: heard.get(timeout=120)
    yield made
    made.close()


def test_jobs_are_done_one_after_the_other_told_of_and_cancelled(process):
    process.cancel()  # nothing is done yet
    process.ask(add, 1, 2)
    assert [process.heard(), process.heard()] == [("told", 0.5, "half"), ("ended", 3)]
    process.ask(turn)
    assert process.heard() == ("told", 0.1, "turning")
    process.cancel()
    answers = iter(process.heard, ("cancelled",))
    assert {*answers} <= {("told", 0.1, "turning")}
    process.ask(add, 3, 4)
    assert [process.heard(), process.heard()][1] == ("ended", 7)


def test_what_fails_is_said_in_words(process):
    process.ask(fail, ValueError("size must be 3. Received: 4."))
    assert process.heard() == ("failed", "size must be 3. Received: 4.")
    process.ask(fail, KeyError("a bug"))
    assert "Traceback" in process.heard()[1]


def test_what_no_other_process_can_have_is_refused(process):
    with pytest.raises(ValueError, match=r"what another process can be given\. Received: .*lambda"):
        process.ask(add, lambda: 1, 2)
    process.ask(add, 1, 2)
    assert [process.heard(), process.heard()][1] == ("ended", 3)


def test_a_process_that_is_gone_is_told_of_and_begun_anew(process):
    process.ask(end)
    kind, text = process.heard()
    assert kind == "failed"
    assert text.startswith("The process of the job ended with code 3: it ran out of memory")
    process.ask(add, 1, 2)
    assert [process.heard(), process.heard()][1] == ("ended", 3)


def test_weights_that_are_none_are_named(process):
    process.ask(found, None, "nowhere")
    assert process.heard() == ("told", 0.0, "loading nowhere")
    assert "Give a run folder" in process.heard()[1]
