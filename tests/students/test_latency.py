"""How long a student takes for one row: what every call takes, not what a busy machine adds to some."""

import time

import torch
from torch import nn

from dfkd_tune.students.latency import CALLS, latency

ROW = torch.zeros(1, 3)


class Slow(nn.Module):
    """Takes some time at the calls of a given kind."""

    def __init__(self, seconds: float, when):
        super().__init__()
        self.seconds, self.when, self.calls = seconds, when, 0

    def forward(self, x):
        assert x is ROW and torch.is_inference_mode_enabled()
        self.calls += 1
        if self.when(self.calls):
            time.sleep(self.seconds)
        return x


def test_what_every_call_takes_is_told_in_microseconds():
    assert 300 <= latency(Slow(3e-4, lambda call: True), ROW) < 30_000


def test_a_pause_of_the_machine_is_not_the_students():
    """Here one that lasts for the first two bursts, and every third call later."""
    module = Slow(1e-3, lambda call: call <= 2 * CALLS or call % 3 == 0)
    assert latency(module, ROW) < 1000
