"""Domains of searched leaves: parse them from a study file, suggest values for a trial, convert to plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, get_type_hints

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from dfkd_tune.errors import SpecError
from dfkd_tune.recipes.recipe import SECTIONS, Recipe
from dfkd_tune.utils.quoting import quoted
from dfkd_tune.utils.strategy import build, kind_of, name_of, strategy

CHOICES = 1_000
"""Largest number of choices of a leaf."""


@strategy
class Range:
    """Numbers from ``low`` to ``high``, both inclusive, on a logarithmic scale if ``log``."""

    low: float
    high: float
    log: bool = False


Domain = CategoricalDistribution | IntDistribution | FloatDistribution


def ends(domain: Domain) -> Sequence[Any]:
    """The choices of a domain, or its smallest and largest number."""
    return domain.choices if isinstance(domain, CategoricalDistribution) else (domain.low, domain.high)


def suggest(trial: optuna.Trial, name: str, domain: Domain) -> Any:
    """Suggest a value of a leaf for a trial."""
    if isinstance(domain, CategoricalDistribution):
        return trial.suggest_categorical(name, domain.choices)
    if isinstance(domain, IntDistribution):
        return trial.suggest_int(name, domain.low, domain.high, log=domain.log)
    return trial.suggest_float(name, domain.low, domain.high, log=domain.log)


def domain(leaf: str, value: Any, place: str) -> Domain:
    """Parse the distribution of a leaf from its value in a study file.

    Raises:
        SpecError: the value is invalid; the message names the leaf, the rule and the value.
    """
    section, _, field = leaf.partition(".")
    if section not in SECTIONS:
        raise SpecError(
            place,
            f"unknown section {quoted(section)}",
            remedy=f"searchable: {', '.join(SECTIONS)}; budgets are the same for all trials",
        )
    registry = SECTIONS[section]
    if field == "kind":
        if not isinstance(value, list) or not value:
            raise SpecError(
                place, f"must be a list of kinds, got {quoted(value)}", remedy=f"known: {', '.join(registry)}"
            )
        for name in value:
            kind_of(registry, name, place)
        return CategoricalDistribution(_distinct(value, place))
    owners = [kind for _, kind in registry.usable() if field in {f.name for f in fields(kind)}]
    if not owners:
        known = sorted({f.name for _, kind in registry.usable() for f in fields(kind)})
        raise SpecError(place, f"no {section} has a field {quoted(field)}", remedy=f"known: kind, {', '.join(known)}")
    whole = get_type_hints(owners[0])[field] is int
    if isinstance(value, list):
        if not value:
            raise SpecError(place, "needs at least one choice, got []")
        return CategoricalDistribution(_distinct([_accepted(owners, field, choice, place) for choice in value], place))
    if not isinstance(value, Mapping):
        raise SpecError(place, f"must be a list of choices or a mapping with low and high, got {quoted(value)}")
    span = build(Range, value, place)
    if span.low > span.high:
        raise SpecError(place, f"low must be <= high, got {span.low:g} > {span.high:g}")
    if span.log and span.low <= 0:
        raise SpecError(place, f"low must be > 0 when log is true, got {span.low}")
    for end in (span.low, span.high):
        if whole and end != int(end):
            raise SpecError(place, f"must be whole numbers, got {end}")
    for end in (span.low, span.high):
        _accepted(owners, field, int(end) if whole else end, place)
    if whole:
        return IntDistribution(int(span.low), int(span.high), log=span.log)
    return FloatDistribution(span.low, span.high, log=span.log)


def _accepted(owners: list[type], field: str, value: Any, place: str) -> Any:
    """Validate a value with every strategy that has the field, and return it in their type."""
    try:
        return [getattr(build(kind, {field: value}, ""), field) for kind in owners][-1]
    except SpecError as error:
        raise SpecError(place, error.rule) from None


def _distinct(choices: list[Any], place: str) -> list[Any]:
    if len(choices) > CHOICES:
        raise SpecError(place, f"holds {len(choices):,} choices, {CHOICES:,} at most", remedy="give a range")
    if len(set(choices)) != len(choices):
        raise SpecError(place, f"choices must differ, got {quoted(choices)}")
    return choices


def require_owner(leaf: str, preset: Recipe, domains: Mapping[str, Domain], place: str) -> None:
    """Check that the preset's kind or a searched kind has a searched field.

    Raises:
        SpecError: no such kind has it.
    """
    section, _, field = leaf.partition(".")
    if field == "kind":
        return
    registry = SECTIONS[section]
    kinds = (
        [str(kind) for kind in ends(domains[f"{section}.kind"])]
        if f"{section}.kind" in domains
        else [name_of(registry, getattr(preset, section))]
    )
    if not any(field in {f.name for f in fields(registry[kind])} for kind in kinds):
        raise SpecError(
            place, f"no searched {section} has it ({', '.join(kinds)})", remedy=f"add its kind to search.{section}.kind"
        )


def plain(domain: Domain) -> Any:
    """Convert a distribution to plain values."""
    if isinstance(domain, CategoricalDistribution):
        return list(domain.choices)
    return {"low": domain.low, "high": domain.high, "log": domain.log}
