"""Read GRANT, REVOKE, SHOW GRANTS and ALTER … OWNER TO, as SQL spells them.

Names with spaces or signs stand in backticks, words in any case, and `--` begins a
comment. Every refusal says where, what was expected and what is there.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.db import models
from django.utils.dateparse import parse_date, parse_datetime

from access.privileges import GRANTABLE
from access.securables import TYPES
from core.errors import InvalidParameter

_TOKEN = re.compile(
    r"(?P<space>\s+|--[^\n]*)"
    r"|(?P<string>'(?:[^']|'')*')"
    r"|(?P<sign>[;,])"
    # a name may be quoted in part: prod.`my schema`.scorer
    r"|(?P<word>(?:`(?:[^`]|``)+`|[^\s;,`'\"])+)"
)
_QUOTED = re.compile(r"`((?:[^`]|``)+)`")
_KINDS = tuple(
    sorted(name.upper() for name in {*TYPES, *GRANTABLE} - {"registeredmodel"})
)
_END = "end"


class Verb(models.TextChoices):
    GRANT = "GRANT"
    REVOKE = "REVOKE"
    SHOW = "SHOW"
    ALTER = "ALTER"


@dataclass(frozen=True)
class Statement:
    """One statement, and where it begins in its text."""

    verb: Verb
    place: str
    securable_type: str
    full_name: str
    principal: str = ""
    privileges: tuple[str, ...] = ()
    until: dt.datetime | None = None


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    place: str

    @property
    def keyword(self) -> str:
        """The word in capitals; of what is quoted, nothing."""
        return self.text.upper() if self.kind in {"word", "sign"} else ""

    @property
    def name(self) -> str:
        """The word without its backticks."""
        return _QUOTED.sub(lambda found: found[1].replace("``", "`"), self.text)

    @property
    def said(self) -> str:
        return "the end" if self.kind == _END else self.text[:80]


def parse_statements(text: str) -> list[Statement]:
    """Read statements with `;` between them. Raises InvalidParameter with the place."""
    reader = _Reader(list(_tokens(text)))
    found = []
    while reader.skip(";") or reader.next.kind != _END:
        if reader.next.keyword != ";" and reader.next.kind != _END:
            found.append(_statement(reader))
            reader.expect_end_of_statement()
    if not found:
        raise InvalidParameter(
            f"There is no statement; begin with {_any(Verb.values)}."
        )
    return found


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise InvalidParameter(
                f"{_place(text, at)}: {text[at]} is not closed, or quotes nothing; "
                "names stand in `backticks`, timestamps in 'quotes'."
            )
        if found.lastgroup and found.lastgroup != "space":
            yield _Token(found.lastgroup, found[0], _place(text, at))
        at = found.end()
    yield _Token(_END, "", _place(text, len(text)))


def _place(text: str, at: int) -> str:
    line = text.count("\n", 0, at) + 1
    return f"line {line}, column {at - text.rfind(chr(10), 0, at)}"


class _Reader:
    """The tokens, from left to right."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def next(self) -> _Token:
        return self._tokens[self._at]

    def take(self) -> _Token:
        token = self.next
        self._at += token.kind != _END
        return token

    def skip(self, *keywords: str) -> str:
        """Take one of some keywords if it is next, and return it."""
        return self.take().keyword if self.next.keyword in keywords else ""

    def expect(self, *keywords: str) -> str:
        """Take one of some keywords. Raises InvalidParameter if it is not there."""
        if self.next.keyword not in keywords:
            raise self.unexpected(_any(keywords))
        return self.take().keyword

    def name(self, of: str) -> str:
        if self.next.kind != "word":
            raise self.unexpected(of)
        return self.take().name

    def expect_end_of_statement(self) -> None:
        if self.next.kind != _END:
            self.expect(";")

    def unexpected(self, wanted: str) -> InvalidParameter:
        return InvalidParameter(
            f"{self.next.place}: expected {wanted}, found {self.next.said}."
        )


def _any(words: list[str] | tuple[str, ...]) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def _statement(reader: _Reader) -> Statement:
    place = reader.next.place
    verb = Verb(reader.expect(*Verb.values))
    return _READERS[verb](reader, place)


def _grant(reader: _Reader, place: str) -> Statement:
    privileges = _privileges(reader)
    kind, name = _object(reader)
    reader.expect("TO")
    to = reader.name("the name of a principal")
    until = _timestamp(reader) if reader.skip("UNTIL") else None
    return Statement(Verb.GRANT, place, kind, name, to, privileges, until)


def _revoke(reader: _Reader, place: str) -> Statement:
    privileges = _privileges(reader)
    kind, name = _object(reader)
    reader.expect("FROM")
    of = reader.name("the name of a principal")
    return Statement(Verb.REVOKE, place, kind, name, of, privileges)


def _show(reader: _Reader, place: str) -> Statement:
    reader.expect("GRANTS", "GRANT")
    asked = reader.next.keyword != "ON"
    of = reader.name("ON or the name of a principal") if asked else ""
    return Statement(Verb.SHOW, place, *_object(reader), of)


def _alter(reader: _Reader, place: str) -> Statement:
    kind, name = _kind_and_name(reader)
    reader.skip("SET")
    reader.expect("OWNER")
    reader.expect("TO")
    to = reader.name("the name of a principal")
    return Statement(Verb.ALTER, place, kind, name, to)


_READERS: dict[Verb, Callable[[_Reader, str], Statement]] = {
    Verb.GRANT: _grant,
    Verb.REVOKE: _revoke,
    Verb.SHOW: _show,
    Verb.ALTER: _alter,
}


def _privileges(reader: _Reader) -> tuple[str, ...]:
    found = [_privilege(reader)]
    while reader.skip(","):
        found.append(_privilege(reader))
    return tuple(found)


def _privilege(reader: _Reader) -> str:
    """Take the words of one privilege: all up to a comma, or what follows them."""
    words = []
    while reader.next.kind == "word" and reader.next.keyword not in {
        "ON",
        "TO",
        "FROM",
    }:
        words.append(reader.take().keyword)
    if not words:
        raise reader.unexpected("a privilege")
    return " ".join(words)


def _object(reader: _Reader) -> tuple[str, str]:
    reader.expect("ON")
    return _kind_and_name(reader)


def _kind_and_name(reader: _Reader) -> tuple[str, str]:
    kind = reader.expect(*_KINDS).lower()
    if kind == "metastore" and reader.next.keyword != "METASTORE":
        return kind, kind  # there is one, whose name may be left out
    return kind, reader.name(f"the full name of a {kind}")


def _timestamp(reader: _Reader) -> dt.datetime:
    """Take a date or a date and time; UTC where it does not say."""
    token = reader.next
    try:
        text = token.text.strip("'`")
        found = parse_datetime(text)
        if found is None and (day := parse_date(text)):
            found = dt.datetime.combine(day, dt.time())
    except ValueError:
        found = None
    if found is None:
        raise reader.unexpected("a timestamp like '2027-01-31T18:00:00Z'")
    reader.take()
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)
