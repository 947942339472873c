"""The first signal asks a study to stop, only a second ^C stops it at once; and a ^C that a library loses is noted."""

import signal
import threading
from contextlib import suppress

import pytest

from dfkd_tune.utils.signals import Interrupts, Signals, raise_lost_interrupt


def test_the_first_signal_is_a_request_and_a_second_interrupt_an_order(capsys):
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt), Signals() as stop:
        assert not stop
        signal.raise_signal(signal.SIGTERM)
        assert stop == [signal.SIGTERM]
        signal.raise_signal(signal.SIGTERM)  # a supervisor repeats it
        assert capsys.readouterr().err.count("stopping") == 2
        signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


def test_another_thread_has_no_handlers():
    """As in a notebook's server, where Python allows them in the main thread alone."""
    found, before = [], signal.getsignal(signal.SIGINT)

    def work() -> None:
        with Signals() as stop:
            found.append((list(stop), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [([], before)]


def test_an_interrupt_that_is_lost_is_noted(interruptible):
    before = signal.getsignal(signal.SIGINT)
    with Interrupts() as heard:
        raise_lost_interrupt()
        assert not heard
        with suppress(BaseException):  # as some libraries do while they are imported
            signal.raise_signal(signal.SIGINT)
        assert heard == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            raise_lost_interrupt()
        with Signals() as stop:
            signal.raise_signal(signal.SIGINT)
        assert stop == heard == [signal.SIGINT]  # a study has its own way to stop
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda number, frame: None], ids=["ignored", "another"])
def test_who_handles_interrupts_otherwise_goes_on(handler):
    before = signal.signal(signal.SIGINT, handler)
    try:
        with Interrupts() as heard:
            signal.raise_signal(signal.SIGINT)
        assert not heard and signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
