from __future__ import annotations

import threading
import time

from lockgate.models.turns import Turns


def test_one_at_a_time_in_order_of_arrival() -> None:
    turns, order = Turns(), []
    release = threading.Event()

    def hold() -> None:
        with turns:
            release.wait(5)

    def follow(number: int) -> None:
        with turns:
            order.append(number)

    threads = [threading.Thread(target=hold)]
    threads[0].start()
    for number in range(5):
        time.sleep(0.02)
        threads.append(threading.Thread(target=follow, args=(number,)))
        threads[-1].start()
    time.sleep(0.02)
    release.set()
    for thread in threads:
        thread.join(5)
    assert order == list(range(5))


def test_a_long_job_lets_others_in_between_two_steps() -> None:
    turns, events = Turns(), []
    started = threading.Event()

    def long_job() -> None:
        for step in range(20):
            with turns:
                started.set()
                time.sleep(0.01)
                events.append(f"step {step}")

    job = threading.Thread(target=long_job)
    job.start()
    started.wait(5)
    with turns:
        events.append("query")
    job.join(5)
    assert events.index("query") <= 2


def test_an_error_inside_frees_the_lock() -> None:
    turns = Turns()
    for _ in range(2):
        try:
            with turns:
                raise KeyError
        except KeyError:
            pass
