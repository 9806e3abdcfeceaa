"""Which old name becomes which new one, and who owns it then.

The file is YAML (or JSON, which is YAML): a list of rules, the first that
matches an old name decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from core.errors import InvalidParameter
from registry.names import check_name, split_full_name

_KEYS = {"from", "to", "owner", "skip", "aliases"}
_THREE_LEVELS = re.compile(r"[^.]+\.[^.]+\.[^.]+")


@dataclass(frozen=True)
class Rule:
    """One rule: a name or glob, a target, an owner, new names for aliases."""

    pattern: str
    target: str = ""
    owner: str = ""
    skip: bool = False
    # old alias -> new alias; an empty one is left out
    aliases: dict[str, str] = field(default_factory=dict)

    def match(self, name: str) -> re.Match[str] | None:
        """Match a whole name; `*` and `?` are wild."""
        wild = {"*": "(.*)", "?": "."}
        text = "".join(wild.get(char, re.escape(char)) for char in self.pattern)
        return re.fullmatch(text, name)


@dataclass(frozen=True)
class Mapping:
    """Rules, and `catalog.schema` for every name that no rule matches."""

    into: str
    rules: tuple[Rule, ...] = ()

    def rule_for(self, name: str) -> Rule:
        """Return the first rule that matches, else the one that maps into `into`."""
        for rule in self.rules:
            if rule.match(name):
                return rule
        return Rule("*", self.into)

    def target_of(self, name: str, *, in_place: bool = False) -> str:
        """Return the full name that an old name gets.

        A name of three levels that is in the registry already keeps it.
        """
        rule = self.rule_for(name)
        found = rule.match(name)
        mapped = any(rule.match(name) for rule in self.rules)
        if in_place and not mapped and _THREE_LEVELS.fullmatch(name):
            return name
        target = rule.target or self.into
        if target.count(".") == 1:
            return f"{target}.{name}"
        if "*" in target and found and found.groups():
            return target.replace("*", found[1])
        return target


def read_mapping(text: str, into: str) -> Mapping:
    """Read a mapping file. Raises InvalidParameter with the number of the rule."""
    _check_schema(into, "--into")
    try:
        content = yaml.safe_load(text) if text.strip() else []
    except yaml.YAMLError as error:
        raise InvalidParameter(f"The mapping is not valid YAML: {error}.") from error
    if not isinstance(content, list):
        raise InvalidParameter("The mapping must be a list of rules, each with 'from'.")
    rules = [_rule(number, entry) for number, entry in enumerate(content, start=1)]
    return Mapping(into, tuple(rules))


def suggest(name: str) -> str:
    """Return the nearest valid name for one level."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name).lstrip("-")[:100].strip("_")
    return plain or "model"


def _rule(number: int, entry: Any) -> Rule:
    where = f"rule {number} of the mapping"
    if not isinstance(entry, dict) or not isinstance(entry.get("from"), str):
        raise InvalidParameter(f"{where} must have 'from', a name or a glob.")
    if unknown := sorted(map(str, entry.keys() - _KEYS)):
        raise InvalidParameter(
            f"{where} has unknown keys {', '.join(unknown)}; use from, to, owner, skip, "
            "aliases."
        )
    rule = Rule(
        pattern=entry["from"],
        target=_text(entry, "to", where),
        owner=_text(entry, "owner", where),
        skip=entry.get("skip", False) is True,
        aliases=_aliases(entry.get("aliases"), where),
    )
    _check_target(rule, where)
    return rule


def _check_target(rule: Rule, where: str) -> None:
    if not rule.target:
        return
    if rule.target.count(".") == 1:
        _check_schema(rule.target, f"'to' of {where}")
        return
    if "*" in rule.target and rule.pattern.count("*") != 1:
        raise InvalidParameter(
            f"{where}: '*' in 'to' stands for what the one '*' in 'from' matched."
        )
    split_full_name(rule.target.replace("*", "x"), f"'to' of {where}")


def _check_schema(name: str, what: str) -> None:
    parts = name.split(".")
    if len(parts) != 2:
        raise InvalidParameter(f"{what} must be catalog.schema, not {name!r}.")
    for part in parts:
        check_name(part, what)


def _text(entry: dict[str, Any], key: str, where: str) -> str:
    value = entry.get(key) or ""
    if not isinstance(value, str):
        raise InvalidParameter(f"{where}: {key!r} must be text.")
    return value


def _aliases(value: Any, where: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(
        isinstance(old, str) and (new is None or isinstance(new, str))
        for old, new in value.items()
    ):
        raise InvalidParameter(
            f"{where}: 'aliases' must map old names to new ones, or to nothing."
        )
    return {old: new or "" for old, new in value.items()}
