"""What every prediction does with a micrograph: asking a model that is elsewhere."""

import threading
import time

import pytest

from temzoo.inference.concurrent import in_order


def slow_first(number):
    time.sleep(0.02 if number % 3 == 0 else 0.0)
    return number * number


@pytest.mark.parametrize("in_flight", [1, 2, 5])
def test_answers_come_in_the_order_of_their_questions(in_flight):
    assert list(in_order(slow_first, range(12), in_flight=in_flight)) == [n * n for n in range(12)]


@pytest.mark.parametrize("in_flight", [1, 3])
def test_no_more_questions_are_taken_than_may_be_in_flight(in_flight):
    taken = []
    answers = in_order(slow_first, (taken.append(n) or n for n in range(9)), in_flight=in_flight)
    for given_back in range(1, 7):
        next(answers)
        assert len(taken) <= given_back + in_flight
    answers.close()


def test_questions_are_asked_at_once_from_threads():
    together = threading.Barrier(3, timeout=5)
    assert list(in_order(lambda n: together.wait() >= 0, range(6), in_flight=3)) == [True] * 6


def test_after_an_error_what_has_not_begun_is_left_undone():
    asked = []

    def ask(number):
        asked.append(number)
        if number == 1:
            raise ValueError("no answer to 1")
        time.sleep(0.02)
        return number

    answers = in_order(ask, range(50), in_flight=2)
    assert next(answers) == 0
    with pytest.raises(ValueError, match="no answer to 1"):
        list(answers)
    assert len(asked) <= 4
    threads = threading.active_count()
    time.sleep(0.05)
    assert threading.active_count() == threads
