"""Signals end up in a thread, and everything is as before afterwards."""

import os
import signal
import threading

from graphios.signals import answered


def test_a_signal_is_answered_while_the_main_thread_holds_the_lock_that_the_answer_needs() -> None:
    lock, answers = threading.Lock(), []
    done = threading.Event()

    def answer() -> None:
        with lock:
            answers.append(threading.current_thread())
            done.set()

    with answered({signal.SIGTERM: answer, signal.SIGHUP: answer}):
        with lock:
            os.kill(os.getpid(), signal.SIGTERM)
            assert not done.wait(0.05)
        assert done.wait(10)
        done.clear()
        os.kill(os.getpid(), signal.SIGHUP)
        assert done.wait(10)
    assert threading.main_thread() not in answers


def test_afterwards_handlers_work_as_before() -> None:
    seen = []
    before = signal.signal(signal.SIGHUP, lambda *_: seen.append(1))
    try:
        with answered({signal.SIGHUP: lambda: None}):
            pass
        os.kill(os.getpid(), signal.SIGHUP)
        assert seen == [1]
    finally:
        signal.signal(signal.SIGHUP, before)
