"""Load ``.skops`` files: a scikit-learn estimator as a tree of named types and arrays."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.base import Teacher, hash_bytes
from dfkd_tune.teachers.black_box import from_estimator, missing
from dfkd_tune.teachers.safety import archives
from dfkd_tune.teachers.safety.harmless_types import HARMLESS, refusal
from dfkd_tune.utils.object_reference import one_line


def load_skops(path: Path, architecture: Path | None, trust_pickle: bool) -> Teacher:
    """Load a ``.skops`` file of a scikit-learn estimator that holds only types known to be harmless.

    skops checks types. Types that are harmless only with valid contents are checked here, before the first query.

    Raises:
        TeacherError: the file holds a type that may be harmful and ``trust_pickle`` is false; it decompresses to too
            much, is damaged, or holds values that would make scikit-learn access invalid memory.
    """
    try:
        from skops.io import get_untrusted_types, loads
    except ImportError:
        raise missing(path, "skops", "skops") from None
    data = archives.read(path)
    try:
        copy = archives.unfolded(path, data)
        _written_out(path, copy)
        named = get_untrusted_types(data=copy)
        unknown = [name for name in named if name not in HARMLESS]
        if unknown and not trust_pickle:
            rule, remedy = refusal(unknown)
            raise TeacherError(path, rule, remedy=remedy)
        estimator = loads(copy, trusted=named)
        if not trust_pickle:
            _look(path, estimator)
    except TeacherError:
        raise
    except RecursionError:
        raise TeacherError(path, "its parts lie in each other too deep to be read") from None
    except Exception as error:
        raise TeacherError(path, f"not a skops file, or cut short ({one_line(error)})") from None
    return from_estimator(path, estimator, hash_bytes(data))


def content_hash(archive: bytes) -> str:
    """SHA-256 of what an archive holds: skops names parts by their addresses in memory, which differ each time."""
    with zipfile.ZipFile(io.BytesIO(archive)) as file:

        def plain(node: Any) -> Any:
            if isinstance(node, list):
                return [plain(each) for each in node]
            if not isinstance(node, dict):
                return node
            known = {
                key: plain(value) for key, value in node.items() if key not in ("__id__", "protocol", "_skops_version")
            }
            if isinstance(known.get("file"), str):
                known["file"] = hash_bytes(file.read(known["file"]))
            if known.get("__loader__") == "SetNode" and isinstance(known.get("content"), list):
                known["content"].sort(key=json.dumps)
            return known

        return hashlib.sha256(json.dumps(plain(json.loads(file.read("schema.json")))).encode()).hexdigest()


def _written_out(path: Path, archive: bytes) -> None:
    """Refuse references to larger parts: skops writes a shared part in full, and visits it at each reference."""
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        schema = json.loads(file.read("schema.json"))
    sizes: dict[object, int] = {}

    def measure(node: object) -> int:
        if isinstance(node, list):
            return sum(map(measure, node))
        if not isinstance(node, dict):
            return 0
        size = 1 + sum(map(measure, node.values()))
        if "__id__" in node and sizes.setdefault(node["__id__"], size) != size:
            raise TeacherError(
                path,
                "is not what skops writes: a part refers to a larger one",
                remedy="save it again with skops.io.dump",
            )
        return size

    measure(schema)


def _look(path: Path, estimator: object) -> None:
    """Refuse an estimator that would make compiled code access invalid memory."""
    from dfkd_tune.teachers.safety.estimator_checks import Unsound, sound

    try:
        sound(estimator)
    except Unsound as error:
        raise TeacherError(
            path,
            f"is not what scikit-learn writes: {error}",
            remedy="save it again, or --trust-pickle if you trust its author",
        ) from None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise TeacherError(
            path, f"is not what scikit-learn writes: {type(error).__name__}: {one_line(error)}"
        ) from None
