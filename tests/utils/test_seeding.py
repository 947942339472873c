"""A seed follows its words: the same on every machine, another one for other words."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from dfkd_tune.utils.seeding import derive, stream

WORDS = st.lists(st.text("ab ", max_size=3), min_size=1, max_size=3)


def test_recorded_studies_keep_their_seeds():
    """A replay derives the seed of a trial again, on any machine and in any process."""
    assert derive(0, "trial", 7) == derive("0", "trial", "7") == 8672060519972059634


@given(WORDS, WORDS)
def test_other_words_are_another_seed(one, other):
    assert (derive(*one) == derive(*other)) == (one == other)
    assert 0 <= derive(*one) < 2**63


def test_a_stream_leaves_the_global_one_alone():
    before = torch.get_rng_state()
    one, again, other = (torch.rand(4, generator=stream(0, word)) for word in ("pool", "pool", "bank"))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)
