"""Teacher and student are timed side by side, and the certificate keeps it."""

import json

import pytest

import dfkd_tune as dt

pytestmark = pytest.mark.usefixtures("undrawn")


def test_teacher_and_student_are_timed_side_by_side(study, dfkd, store):
    ended = dfkd("latency", study, "--json", *store.options[2:])
    assert ended.status == 0, ended.err
    found = {(each["runtime"], each["rows"]): each for each in json.loads(ended.out)}
    assert {rows for _, rows in found} == {1, 1000}
    assert {name for name, _ in found} == {"teacher", "PyTorch", "pt2", "onnxruntime", "C", "C without libm"}
    for (_, rows), each in found.items():
        assert 0 < each["low"] <= each["median"] <= each["high"]
        assert each["faster"] == pytest.approx(found["teacher", rows]["median"] / each["median"])
    assert found["C", 1]["median"] < found["PyTorch", 1]["median"] < found["PyTorch", 1000]["median"]
    result = dt.load_result(study, storage=store.storage, tracking_uri=store.tracking)
    assert [each["runtime"] for each in result.certificate.student["speed"]][:2] == ["teacher", "PyTorch"]
    told = dfkd("latency", study, *store.options[2:])
    assert "times as fast" in told.out and "one thread" in told.out and told.err == ""
