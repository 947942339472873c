"""Move registry aliases, and remember every move: who, when, from which version."""

from __future__ import annotations

import getpass
import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dfkd_tune.errors import NotFound, SpecError, TrackingError
from dfkd_tune.locations.paths import existing
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.connection import guarded, open_client, preflight

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_. -]{0,199}")
ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")
MOST_CHARACTERS = 5_000
"""Longest value of a tag in MLflow's tables; the oldest moves are forgotten for it."""
REGISTER, ROLLBACK, ELSEWHERE = "register", "rollback", "elsewhere"
"""What moved an alias; ``elsewhere`` is MLflow itself, whose move is noticed by the next one."""


@dataclass(frozen=True)
class Move:
    """One move of an alias.

    Args:
        version: version that it points at since.
        before: version that it pointed at; None for the first.
        by: name of the user; None if unknown.
        at: time, ISO 8601 in UTC.
        how: ``register``, ``rollback`` or ``elsewhere``.
    """

    version: int
    before: int | None
    by: str | None
    at: str
    how: str


def require_names(model: str, alias: str) -> None:
    """Check that MLflow allows the names of a registered model and of its alias.

    Raises:
        SpecError: it does not.
    """
    if not MODEL_NAME.fullmatch(model):
        raise SpecError(
            "--model", f"must be letters, digits, '_', '.', '-' or spaces, got {model!r}", remedy="give another"
        )
    if not ALIAS.fullmatch(alias) or re.fullmatch(r"v\d+|latest", alias):
        raise SpecError(
            "--alias", f"must be a word such as champion, not a version, got {alias!r}", remedy="give another"
        )


def point(client: MlflowClient, model: str, alias: str, version: int, how: str = REGISTER) -> None:
    """Point an alias at a version, and remember the move as a tag of the registered model."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    moves, current = history(client, model, alias), _current(client, model, alias)
    known = moves[-1].version if moves else None
    if current is not None and current != known:
        moves.append(Move(current, known, None, now, ELSEWHERE))
    if version != current:
        # The alias first: what is cut short in between counts as moved elsewhere, and no version is remembered that it never had.
        client.set_registered_model_alias(model, alias, str(version))
        moves.append(Move(version, current, _user(), now, how))
    while len(text := json.dumps([asdict(move) for move in moves])) > MOST_CHARACTERS:
        del moves[0]
    client.set_registered_model_tag(model, f"{tag.ALIAS}{alias}", text)


def history(client: MlflowClient, model: str, alias: str) -> list[Move]:
    """The remembered moves of an alias, oldest first.

    Raises:
        TrackingError: the tag that holds them was changed into something else.
    """
    name = f"{tag.ALIAS}{alias}"
    text = client.get_registered_model(model).tags.get(name)
    try:
        return [Move(**move) for move in json.loads(text)] if text else []
    except (ValueError, TypeError):  # anyone may write tags in MLflow's pages
        rule = f"is no list of moves: {text}"
        raise TrackingError(
            f"model {model!r}, tag {name}", rule, remedy="delete that tag in MLflow, and the moves begin anew"
        ) from None


def require_history(client: MlflowClient, model: str, alias: str) -> None:
    """Check that moves of an alias can be remembered; a model that does not exist has none yet.

    Raises:
        TrackingError: as ``history`` does.
    """
    from mlflow.exceptions import MlflowException

    try:
        history(client, model, alias)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise


def rollback(uri: str, model: str, alias: str = "champion") -> Move:
    """Point an alias at the version that it had before; repeating it goes further back.

    Versions that were deleted since are passed over. An alias that was deleted points at its last version again.

    Args:
        uri: MLflow tracking URI.
        model: name of the registered model.
        alias: name of the alias.

    Raises:
        NotFound: there is no such model or alias, or nothing is known before its version.
        TrackingError: MLflow cannot be read or written, or the remembered moves are damaged.
    """
    from mlflow.exceptions import MlflowException

    place = f"model {model!r}"
    preflight(existing(uri, place))
    with guarded(uri):
        client = open_client(uri)
        try:
            current = _current(client, model, alias)
            moves = history(client, model, alias)
        except MlflowException:
            known = ", ".join(found.name for found in client.search_registered_models(max_results=20)) or "none"
            raise NotFound(place, "is not registered", remedy=f"known: {known}") from None
        if current is None and not moves:
            aliases = ", ".join(client.get_registered_model(model).aliases) or "none"
            raise NotFound(f"{place}, alias {alias!r}", "does not exist", remedy=f"known: {aliases}")
        earlier = [version for version in reversed(_stack(moves, current)) if version != current]
        target = next((version for version in earlier if _exists(client, model, version)), None)
        if target is None:
            rule = "no longer exists" if current is None else f"points at version {current}"
            rule += ", and no earlier version that it pointed at exists"
            raise NotFound(f"{place}, alias {alias!r}", rule, remedy="set the alias in MLflow")
        point(client, model, alias, target, ROLLBACK)
        return history(client, model, alias)[-1]


def _exists(client: MlflowClient, model: str, version: int) -> bool:
    """Whether a version exists. It is asked for by name, as a search has no way to quote every name."""
    from mlflow.exceptions import MlflowException

    try:
        client.get_model_version(model, str(version))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return True


def _stack(moves: list[Move], current: int | None) -> list[int]:
    """The versions to go back to, the current one last: a rollback takes away what it left."""
    stack: list[int] = []
    for move in moves:
        if move.how == ROLLBACK:
            while stack and stack[-1] != move.version:
                stack.pop()
        if not stack or stack[-1] != move.version:
            stack.append(move.version)
    return stack if current is None or stack[-1:] == [current] else [*stack, current]


def _current(client: MlflowClient, model: str, alias: str) -> int | None:
    found = client.get_registered_model(model).aliases.get(alias)
    return None if found is None else int(found)


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without a user's name
        return None
