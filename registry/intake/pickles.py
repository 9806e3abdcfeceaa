"""Walk a pickle without running it: which globals would it import?

The opcodes are interpreted with inert stand-ins for everything that unpickling
would import, call or build. So the names are exact, also when a pickle hides them
in its memo, and the arrays that joblib writes between the opcodes are skipped.
Nothing is imported and nothing is called. Opcodes: `pickletools` of CPython.
"""

from __future__ import annotations

import math
import pickle  # its opcodes and its interpreter; nothing is loaded
import re
import struct
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

from registry.intake.allowed import carries_code

_KEPT_BYTES = 2**20  # longer values are skipped, so memory stays small
_LINE_BYTES = 2**16
_MOST_OPCODES = 20_000_000
_ITEM_SIZE = re.compile(r"[<>|=]?([a-zA-Z])(\d+)")
_JOBLIB_ARRAY = "joblib.numpy_pickle.NumpyArrayWrapper"


class Unreadable(Exception):
    """These bytes are no pickle, or one that does what no pickle of a model does."""

    globals: set[tuple[str, str]] = set()  # that were found before


@dataclass(eq=False)
class Global:
    """A stand-in for what would be imported."""

    name: str


@dataclass(eq=False)
class Made:
    """A stand-in for what would be built by calling something."""

    maker: str
    arguments: Any = ()
    state: Any = None


@dataclass
class Walk:
    """What was found so far."""

    globals: set[tuple[str, str]] = field(default_factory=set)
    opcodes: int = 0


class _Reader(Protocol):
    def read(self, count: int, /) -> bytes: ...
    def readline(self, limit: int, /) -> bytes: ...


class Source:
    """The bytes of a pickle; what is long is skipped and comes out empty."""

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader

    def read(self, count: int) -> bytes:
        if count > _KEPT_BYTES:
            self.skip(count)
            return b""
        data = self._reader.read(count)
        if len(data) < count:
            raise Unreadable("it ends in the middle")
        return data

    def readline(self) -> bytes:
        line = self._reader.readline(_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise Unreadable("it ends in the middle of a line")
        return line

    def skip(self, count: int) -> None:
        while count > 0:
            data = self._reader.read(min(count, _KEPT_BYTES))
            if not data:
                raise Unreadable("it ends in the middle")
            count -= len(data)


def walk_pickles(reader: BinaryIO) -> set[tuple[str, str]]:
    """Return (module, name) of every global of the pickles in a stream.

    Pickles that follow the first one are walked, too, as long as they are some.
    Raises Unreadable; its `globals` are what was found before.
    """
    source, walk = Source(reader), Walk()
    try:
        _walk_one(source, walk)
    except Unreadable as error:
        error.globals = walk.globals
        raise
    while _walk_next(reader, walk):
        pass
    return walk.globals


def _walk_next(reader: BinaryIO, walk: Walk) -> bool:
    """Walk what follows; False at its end, or when it is no pickle."""
    known = len(walk.globals)
    head = reader.read(1)
    if head != b"\x80":
        return False
    try:
        _walk_one(Source(_Prefixed(head, reader)), walk)
    except Unreadable:
        if len(walk.globals) > known:
            raise
        return False
    return True


class _Prefixed:
    """A stream with one byte put back."""

    def __init__(self, head: bytes, reader: _Reader) -> None:
        self._head, self._reader = head, reader

    def read(self, count: int) -> bytes:
        if not self._head or not count:
            return self._reader.read(count)
        head, self._head = self._head, b""
        return head + self._reader.read(count - 1)

    def readline(self, limit: int) -> bytes:
        head, self._head = self._head, b""
        return head + self._reader.readline(limit)


def _walk_one(source: Source, walk: Walk) -> None:
    try:
        _Walker(source, walk).load()
    except Unreadable:
        raise
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        EOFError,
        LookupError,
        MemoryError,
        OSError,
        RecursionError,
        TypeError,
        ValueError,
        pickle.PickleError,
        struct.error,
    ) as error:
        raise Unreadable(f"it cannot be walked ({error})") from error


_Base: Any = pickle._Unpickler  # the one in Python


class _Walker(_Base):
    """The interpreter of pickle with nothing behind it."""

    dispatch = dict(_Base.dispatch)

    def __init__(self, source: Source, walk: Walk) -> None:
        super().__init__(source, encoding="latin1")
        self._source, self._walk = source, walk

    def find_class(self, module: str, name: str) -> Global:
        self._walk.globals.add((module, name))
        self._walk.opcodes += 1
        if self._walk.opcodes > _MOST_OPCODES:
            raise Unreadable("it is too long to be walked")
        return Global(f"{module}.{name}")

    def persistent_load(self, pid: object) -> Made:
        return Made("persistent", pid)

    def get_extension(self, code: int) -> None:
        raise Unreadable("it uses extension codes")

    def load_frame(self) -> None:
        self.read(8)  # a frame is only a hint, and its length anybody's choice

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self._call(self.stack[-1], arguments)

    def load_newobj(self) -> None:
        arguments, maker = self.stack.pop(), self.stack.pop()
        self.append(self._call(maker, arguments))

    def load_newobj_ex(self) -> None:
        self.stack.pop()
        self.load_newobj()

    def load_obj(self) -> None:
        maker, *arguments = self.pop_mark()
        self.append(self._call(maker, arguments))

    def load_inst(self) -> None:
        module, name = (self.readline()[:-1].decode("ascii") for _ in range(2))
        arguments = self.pop_mark()
        self.append(self._call(self.find_class(module, name), arguments))

    def load_build(self) -> None:
        state, made = self.stack.pop(), self.stack[-1]
        if isinstance(made, Global):
            self._require_code(f"it changes {made.name} itself")
        if isinstance(made, Made):
            made.state = state
            if made.maker == _JOBLIB_ARRAY:
                self._skip_array(state)

    def load_append(self) -> None:
        self._extend([self.stack.pop()])

    def load_appends(self) -> None:
        self._extend(self.pop_mark())

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def load_setitems(self) -> None:
        self._update(self.pop_mark())

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._update(items)

    def load_empty_set(self) -> None:
        self.append(Made("set"))

    def load_additems(self) -> None:
        self.pop_mark()

    def load_frozenset(self) -> None:
        self.append(Made("frozenset", self.pop_mark()))

    def load_bytearray8(self) -> None:
        (length,) = struct.unpack("<Q", self.read(8))
        self.append(self.read(length))

    def _call(self, maker: Any, arguments: Any) -> Made:
        """Stand in for a call; only a pickle of functions calls what it has built."""
        if isinstance(maker, Global):
            return Made(maker.name, arguments)
        self._require_code("it calls what it built itself")
        return Made("", arguments)

    def _require_code(self, deed: str) -> None:
        if not any(carries_code(module) for module, _ in self._walk.globals):
            raise Unreadable(deed)

    def _extend(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def _update(self, items: list[Any]) -> None:
        """Keep what has a text as key; to hash anything else can take forever."""
        if isinstance(self.stack[-1], dict):
            pairs = zip(items[::2], items[1::2], strict=True)
            self.stack[-1].update(pair for pair in pairs if isinstance(pair[0], str))

    def _skip_array(self, state: Any) -> None:
        """Skip the raw array that joblib wrote behind its description."""
        if not isinstance(state, dict):
            raise Unreadable("an array of joblib has no description")
        kind, size = _item(state.get("dtype"))
        if kind == "O":
            _walk_one(self._source, self._walk)
            return
        if state.get("numpy_array_alignment_bytes") is not None:
            self._source.skip(self._source.read(1)[0])
        self._source.skip(size * math.prod(int(n) for n in state["shape"]))


def _item(dtype: Any) -> tuple[str, int]:
    """Return kind and size of one item of a numpy dtype, as it was pickled."""
    arguments = dtype.arguments if isinstance(dtype, Made) else ()
    match = _ITEM_SIZE.fullmatch(str(arguments[0])) if arguments else None
    if match is None:
        raise Unreadable("an array of joblib has an unknown type")
    size = int(match[2])
    return match[1], size * 4 if match[1] == "U" else size


_OPCODES = {
    pickle.FRAME: _Walker.load_frame,
    pickle.REDUCE: _Walker.load_reduce,
    pickle.NEWOBJ: _Walker.load_newobj,
    pickle.NEWOBJ_EX: _Walker.load_newobj_ex,
    pickle.OBJ: _Walker.load_obj,
    pickle.INST: _Walker.load_inst,
    pickle.BUILD: _Walker.load_build,
    pickle.APPEND: _Walker.load_append,
    pickle.APPENDS: _Walker.load_appends,
    pickle.SETITEM: _Walker.load_setitem,
    pickle.SETITEMS: _Walker.load_setitems,
    pickle.DICT: _Walker.load_dict,
    pickle.EMPTY_SET: _Walker.load_empty_set,
    pickle.ADDITEMS: _Walker.load_additems,
    pickle.FROZENSET: _Walker.load_frozenset,
    pickle.BYTEARRAY8: _Walker.load_bytearray8,
}
_Walker.dispatch.update({code[0]: load for code, load in _OPCODES.items()})
