"""Private parts of other libraries: which names are private, and what is told where one is gone."""

from importlib.metadata import version

DISTRIBUTIONS = {"sklearn": "scikit-learn"}


def is_private(path: str) -> bool:
    return any(part.startswith("_") and not part.startswith("__") for part in path.split("."))


def require(owner: object, name: str, path: str) -> object:
    """An attribute; where it is gone, what to look for and in which release."""
    library = path.partition(".")[0]
    release = version(DISTRIBUTIONS.get(library, library))
    assert hasattr(owner, name), f"{library} {release} has no {path}.{name}, which dfkd_tune.compat.{library} uses"
    return getattr(owner, name)
