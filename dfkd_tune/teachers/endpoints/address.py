"""Addresses of endpoints: which protocol they speak, and that they hold no credentials."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from dfkd_tune.errors import TeacherError
from dfkd_tune.locations.paths import without_credentials

TOKEN, HEADERS = "DFKD_TEACHER_TOKEN", "DFKD_TEACHER_HEADERS"
"""Environment variables with what an endpoint asks for: a bearer token, and JSON of further headers."""
SCHEMES = ("http://", "https://")
SCORING = "/invocations"
INFERENCE = re.compile(r"(?P<base>.*/v2/models/(?P<name>[^/]+)(?:/versions/[^/]+)?)(?:/infer)?")
ADDRESS_REMEDY = "give http://HOST/invocations of MLflow, or http://HOST/v2/models/NAME of the Open Inference Protocol"


@dataclass(frozen=True)
class Address:
    """The address of an endpoint.

    Args:
        url: the address as it was given, without a slash at its end.
        model: name of the model, for the Open Inference Protocol; None for MLflow scoring.
        base: address of the model's metadata, or of the scoring server.
    """

    url: str
    model: str | None
    base: str


def read_address(given: str) -> Address:
    """Read the address of an endpoint.

    Raises:
        TeacherError: it holds credentials, or is of no known protocol.
    """
    shown = without_credentials(given)
    parts = urlsplit(given)
    if shown != given or parts.username is not None:
        raise TeacherError(
            shown,
            "holds credentials, which would be kept on record",
            remedy=f"take them out, and set {TOKEN} or {HEADERS}",
        )
    url = given.rstrip("/")
    if parts.query or parts.fragment or not parts.hostname:
        raise TeacherError(given, "is no address of an endpoint", remedy=ADDRESS_REMEDY)
    if url.endswith(SCORING):
        return Address(url, None, url.removesuffix(SCORING))
    if found := INFERENCE.fullmatch(url):
        return Address(url, unquote(found["name"]), found["base"])
    raise TeacherError(given, "is the address of no known kind of endpoint", remedy=ADDRESS_REMEDY)
