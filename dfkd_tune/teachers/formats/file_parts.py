"""Models of several files: read all of them from the model's folder and include them in the hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.safety import archives

PARTS_REMEDY = "copy all files of the model into one folder"


def read_parts(path: Path, needed: Mapping[str, int]) -> dict[str, bytes]:
    """Read the files that a model refers to: name -> content, sorted by name.

    Args:
        path: the model file that refers to them.
        needed: name relative to its folder -> smallest size in bytes.

    Raises:
        TeacherError: a file is missing, too short, or outside the model's folder.
    """
    files = {name: part_of(path, name) for name in sorted(needed)}
    sizes = {name: file.stat().st_size for name, file in files.items()}
    for name, size in sizes.items():
        if size < needed[name]:
            raise TeacherError(
                files[name],
                f"cut short: {path.name} needs {needed[name]} bytes of it, it has {size}",
                remedy=PARTS_REMEDY,
            )
    archives.fits(path, path.stat().st_size + sum(sizes.values()), "its files have")
    return {name: file.read_bytes() for name, file in files.items()}


def part_of(path: Path, name: str) -> Path:
    """The path of a file that a model refers to, which must be inside the model's folder.

    If the model is a symbolic link, its parts are searched in the folder of the link's target first. Caches keep them
    beside the link, as links into the target's folder.

    Raises:
        TeacherError: the name or a link points outside the folder, or the file does not exist.
    """
    steps = PurePosixPath(name)
    if (
        not name
        or "\\" in name
        or "\0" in name
        or steps.is_absolute()
        or ".." in steps.parts
        or PureWindowsPath(name).drive
    ):
        raise TeacherError(path, f"names {name[:100]!r}, which does not lie in its folder", remedy=PARTS_REMEDY)
    beside, home = path.parent, path.resolve().parent
    file = beside / name if home == beside.resolve() or not (home / name).exists() else home / name
    try:
        real = file.resolve(strict=True)
    except (OSError, RuntimeError):
        raise TeacherError(file, f"missing: {path.name} keeps weights in it", remedy=PARTS_REMEDY) from None
    if not any(real.is_relative_to(folder) for folder in (beside.resolve(), home)):
        raise TeacherError(file, f"is a link out of the folder of {path.name}", remedy=PARTS_REMEDY)
    if not real.is_file():
        raise TeacherError(file, f"is not a file: {path.name} keeps weights in it", remedy=PARTS_REMEDY)
    return real


def hash_files(head: bytes, parts: Mapping[str, bytes]) -> str:
    """SHA-256 of a model's bytes, followed by name, length and bytes of each part, sorted by name."""
    digest = hashlib.sha256(head)
    for name, data in sorted(parts.items()):
        digest.update(b"\0" + name.encode(errors="surrogateescape") + b"\0" + str(len(data)).encode() + b"\0")
        digest.update(data)
    return digest.hexdigest()
