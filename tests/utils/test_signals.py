"""The first signal asks a study to stop; only a second ^C stops it at once."""

import signal
import threading

import pytest

from dfkd_tune.utils.signals import Signals


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
