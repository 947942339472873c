"""Addresses of endpoints: which protocol they speak, and no credentials in them."""

import pytest
from teacher_files import fails

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.endpoints.address import Address, read_address
from dfkd_tune.teachers.loader import load_teacher


@pytest.mark.parametrize(
    "address",
    ["http://me:hunter2@host/invocations", "https://hunter2@host/v2/models/m", "http://host/invocations?token=hunter2"],
)
def test_an_address_with_credentials_is_refused_without_them(address):
    with pytest.raises(TeacherError, match=r"//host/.*holds credentials.*DFKD_TEACHER_TOKEN") as caught:
        load_teacher(address)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("address", ["http://host/", "https://host/v1/models/m", "http:///invocations"])
def test_an_address_of_another_kind_is_refused(address):
    with fails(address, "/invocations", "/v2/models/NAME"):
        load_teacher(address)


@pytest.mark.parametrize(
    ("given", "model", "base"),
    [
        ("http://host:5000/invocations", None, "http://host:5000"),
        ("https://host/some/path/invocations/", None, "https://host/some/path"),
        ("http://host/v2/models/m", "m", "http://host/v2/models/m"),
        ("http://host/v2/models/m/infer", "m", "http://host/v2/models/m"),
        ("http://host/v2/models/m/versions/3/infer/", "m", "http://host/v2/models/m/versions/3"),
        ("http://host/v2/models/a%20b", "a b", "http://host/v2/models/a%20b"),
    ],
)
def test_an_address_tells_protocol_model_and_where_its_metadata_are(given, model, base):
    assert read_address(given) == Address(given.rstrip("/"), model, base)
