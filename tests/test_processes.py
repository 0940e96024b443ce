"""Signals: they end the command's blocks first, and wait for what must not be interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from onnxcost.processes import StopRequest, defer_signals

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_to_end_leaves_the_blocks_unless_it_is_ignored(name: str, ignored: bool) -> None:
    code = f"""
import os, signal
if {ignored}:
    signal.signal(signal.{name}, signal.SIG_IGN)
from onnxcost.processes import end_on_signals
end_on_signals()
try:
    os.kill(os.getpid(), signal.{name})
    print("went on")
finally:
    print("cleaned up")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    number = int(getattr(signal, name))
    assert (done.returncode, done.stdout) == ((0, "went on\ncleaned up\n") if ignored else (128 + number, "cleaned up\n"))


def test_an_interrupt_is_handled_after_the_block() -> None:
    seen = []
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012  # what is left of the block is what is tested
        with defer_signals():
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGINT)
            seen.append("all done")
        seen.append("not reached")
    assert seen == ["all done"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_have_no_signals_to_wait_for() -> None:
    seen = []

    def work() -> None:
        with defer_signals():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


UNREADABLE = """
import pickle, queue
from onnxcost.processes import listen_to_parent

def load(_): raise OSError(5, "Input/output error")

pickle.load = load
listen_to_parent(queue.SimpleQueue(), lambda: print("end", flush=True))
"""


def test_a_process_that_cannot_read_its_parent_ends() -> None:
    ended = subprocess.run((sys.executable, "-c", UNREADABLE), capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (1, "end\n")


def test_the_first_interrupt_asks_where_somebody_listens_and_the_second_ends() -> None:
    stop = StopRequest()
    with pytest.raises(KeyboardInterrupt), stop.from_keyboard(), stop.receiving():  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.is_made
        os.kill(os.getpid(), signal.SIGINT)
    assert not stop.is_made
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_ends_a_command_that_keeps_nothing() -> None:
    stop = StopRequest()
    with pytest.raises(KeyboardInterrupt), stop.from_keyboard():  # noqa: PT012
        with stop.receiving():
            pass
        os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), stop.receiving():  # from Python: no command keeps anything
        os.kill(os.getpid(), signal.SIGINT)
    assert not stop.is_made
