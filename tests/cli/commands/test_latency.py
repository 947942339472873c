"""``latency`` of a study that is not there."""


def test_an_unknown_study_is_told_in_one_line(dfkd, store):
    ended = dfkd("latency", "nobody", *store.options[2:])
    assert ended.status != 0 and len(ended.err.splitlines()) == 1 and "nobody" in ended.err
