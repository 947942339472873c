"""Teachers saved by skops: a scikit-learn estimator as a tree of named types and arrays."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.base import Teacher, hash_bytes
from dfkd_tune.teachers.black_box import from_estimator, missing
from dfkd_tune.teachers.safety import archives
from dfkd_tune.teachers.safety.harmless_types import HARMLESS, refusal
from dfkd_tune.utils.object_reference import one_line


def load_skops(path: Path, architecture: Path | None, trust_pickle: bool) -> Teacher:
    """A ``.skops`` file of a scikit-learn estimator, made of types that are known to do no harm.

    skops lets pass what does no harm by its type; what does none as long as its numbers are right is looked at before it is asked.

    Raises:
        TeacherError: naming the types that may do harm, unless ``trust_pickle``; the file unfolds to more than it should; it is
            damaged, or made to lead scikit-learn astray.
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


def _written_out(path: Path, archive: bytes) -> None:
    """Refuse parts that stand for larger ones: skops writes a shared part out wherever it is, and walks it each time it meets its id."""
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
    """Refuse an estimator that compiled code would follow into foreign memory."""
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
