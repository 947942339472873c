"""Registries of kinds by name: those of this package, and plug-ins that installed packages offer as entry points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from importlib.metadata import EntryPoint, distributions, entry_points
from typing import Any, Generic, TypeVar

from dfkd_tune.errors import PluginError

T = TypeVar("T")

PREFIX = "dfkd_tune."
"""Prefix of every entry-point group."""


def installed() -> dict[str, list[tuple[str, str]]]:
    """Plug-ins of installed packages: ``name version`` of a package -> its kinds as ``(group, kind)``."""
    found: dict[str, list[tuple[str, str]]] = {}
    for entry in _offered():
        kind = entry.group.removeprefix(PREFIX), entry.name
        if kind not in (kinds := found.setdefault(_distribution(entry), [])):
            kinds.append(kind)
    return found


def package_of(kind: type) -> str | None:
    """``name version`` of the package that a kind comes from, or its module if it is not installed; None for a kind of this package."""
    module = kind.__module__.partition(".")[0]
    return None if module == PREFIX[:-1] else _packages().get(module, module)


def culprit(error: BaseException) -> str | None:
    """``name version`` of the plug-in whose code raised an error; None if no plug-in did."""
    modules, trace, found = _packages(), error.__traceback__, None
    while trace is not None:
        name = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        found, trace = modules.get(name, found), trace.tb_next
    return found


@cache  # scanning all distributions takes milliseconds, and every run records what is installed
def _offered() -> tuple[EntryPoint, ...]:
    """Entry points of all groups of dfkd-tune."""
    return tuple(e for each in distributions() for e in each.entry_points if e.group.startswith(PREFIX))


def _packages() -> dict[str, str]:
    """Top-level module of a plug-in -> ``name version`` of its package."""
    return {entry.module.partition(".")[0]: _distribution(entry) for entry in _offered()}


class Registry(Mapping[str, T], Generic[T]):
    """A mapping of a literal dict and the entry points of one group; the literal dict takes precedence.

    An entry point is imported when its kind is first used, so that a broken plug-in affects only its users.

    Args:
        group: name of the group; the entry-point group is ``dfkd_tune.<group>``.
        base: base class of all kinds: of the classes or of the instances in ``own``.
        own: name -> kind, for the kinds of this package.
        declared: whether kinds are strategies, whose fields declare their options; otherwise any subclass will do.
    """

    def __init__(self, group: str, base: type, own: Mapping[str, T], declared: bool = True) -> None:
        self.group, self._base, self._own, self._declared = f"{PREFIX}{group}", base, dict(own), declared
        self._loaded: dict[str, T | PluginError] = {}
        self._found: dict[str, EntryPoint] | None = None

    def __getitem__(self, name: str) -> T:
        if name in self._own:
            return self._own[name]
        if name not in self._loaded:
            try:
                self._loaded[name] = self._load(self._entries[name])
            except PluginError as error:
                self._loaded[name] = error
        found = self._loaded[name]
        if isinstance(found, PluginError):
            raise found
        return found

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from self._entries

    def __len__(self) -> int:
        return len(self._own) + len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._entries

    def usable(self) -> Iterator[tuple[str, T]]:
        """Yield names and kinds, without plug-ins that cannot be imported."""
        for name in self:
            try:
                yield name, self[name]
            except PluginError:
                continue

    def name_of(self, kind: object) -> str | None:
        """The name of a kind; None if it is not registered."""
        return next((name for name, known in self.usable() if known is kind), None)

    @property
    def _entries(self) -> dict[str, EntryPoint]:
        if self._found is None:
            found = entry_points(group=self.group)
            self._found = {entry.name: entry for entry in found if entry.name not in self._own}
        return self._found

    def _load(self, entry: EntryPoint) -> Any:
        place = f"entry point {entry.name!r} of {self.group}, in {_distribution(entry)}"
        try:
            found = entry.load()
        except Exception as error:  # a plug-in may raise any exception
            reason = (str(error).strip().splitlines() or [""])[-1]
            raise PluginError(place, f"cannot be imported: {type(error).__name__}: {reason}") from None
        wrong = self._mistake(found)
        if wrong is not None:
            raise PluginError(place, f"{wrong}, names {found!r:.100}")
        return found

    def _mistake(self, found: Any) -> str | None:
        """Why an object cannot be a kind of this registry; None if it can."""
        base = self._base.__name__
        if not isinstance(next(iter(self._own.values()), self._base), type):
            return None if isinstance(found, self._base) else f"must name an instance of {base}"
        if not (isinstance(found, type) and issubclass(found, self._base)):
            return f"must name a subclass of {base}"
        if missing := ", ".join(sorted(getattr(found, "__abstractmethods__", ()))):
            return f"must name a {base} with all its methods ({missing})"
        if not self._declared:
            return None
        if not is_dataclass(found) or "__dataclass_fields__" not in vars(found):
            return "must name a class decorated with dfkd_tune.utils.strategy.strategy"
        if any(f.default is MISSING and f.default_factory is MISSING for f in fields(found)):
            return "must name a class whose fields all have defaults"
        return None


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "an unknown package"
