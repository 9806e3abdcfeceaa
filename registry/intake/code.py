"""Which code does a model bring, beyond the libraries that it names?

Data-only formats bring none. Pickles are walked, also inside of archives. Files of
code, loaders of their own and pickled classes are named. Nothing is loaded.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from registry.artifacts.trees import Entry, Tree
from registry.intake.allowed import (
    carries_code,
    is_allowed,
    is_dangerous,
    is_standard,
    serves_code,
)
from registry.intake.mlmodel import MLmodel
from registry.intake.pickles import Unreadable, walk_pickles

CODE, DANGEROUS, UNREADABLE = "code", "dangerous", "unreadable"
_PICKLES = frozenset(
    [
        ".pkl",
        ".pickle",
        ".pck",
        ".p",
        ".dill",
        ".cloudpickle",
        ".joblib",
        ".sav",
        ".pt",
        ".pth",
        ".ckpt",
    ]
)
_CODE_FILES = frozenset(
    [
        ".py",
        ".pyc",
        ".pyd",
        ".so",
        ".dll",
        ".dylib",
        ".sh",
        ".jar",
        ".whl",
        ".egg",
        ".exe",
    ]
)
_KERAS = frozenset({".keras", ".h5", ".hdf5"})
_LAMBDA = b'"class_name": "Lambda"'
_DEPTH = 3
_MOST_NAMES = 8
_MOST_UNPACKED = 2**36
_CHUNK = 2**20


@dataclass(frozen=True)
class Finding:
    """Something in a model that runs when the model is loaded, or might."""

    path: str
    kind: str
    detail: str

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def find_code(tree: Tree, files: Iterable[Entry], mlmodel: MLmodel) -> list[Finding]:
    """Return what code a model brings, in the order of its files."""
    flavors = frozenset(mlmodel.flavors)
    forced = set(_pickled_by(mlmodel))
    found = list(_stated(mlmodel, flavors))
    for entry in files:
        suffix = PurePosixPath(entry.path).suffix.lower()
        if suffix in _CODE_FILES:
            found.append(Finding(entry.path, CODE, "a file of code"))
            continue
        with tree.open(entry.path) as raw:
            scan = _Scan(entry.path, flavors, is_forced=entry.path in forced)
            found += scan.file(_buffered(raw), suffix)
    return found


def _pickled_by(mlmodel: MLmodel) -> Iterator[str]:
    """Yield the files that a flavour's loader unpickles, whatever they are called."""
    for flavor in mlmodel.flavors.values():
        if flavor.get("serialization_format") != "skops":
            yield from (
                str(flavor[key])
                for key in ("pickled_model", "python_model")
                if isinstance(flavor.get(key), str)
            )


def _stated(mlmodel: MLmodel, flavors: frozenset[str]) -> Iterator[Finding]:
    """Yield the code that MLmodel itself speaks of."""
    loader = str(mlmodel.pyfunc.get("loader_module", "mlflow."))
    if not loader.startswith("mlflow."):
        yield Finding("MLmodel", CODE, f"it is loaded by {loader}")
    for key in ("code", "python_model", "model_code_path"):
        if mlmodel.pyfunc.get(key):
            yield Finding("MLmodel", CODE, f"it brings code of its own ({key})")
    for flavor in mlmodel.flavors.values():
        trusted = flavor.get("skops_trusted_types")
        for name in trusted if isinstance(trusted, list) else ():
            module, _, attribute = str(name).rpartition(".")
            yield from _judged("MLmodel", {(module, attribute)}, flavors)


def _judged(
    path: str, names: set[tuple[str, str]], flavors: frozenset[str]
) -> Iterator[Finding]:
    """Yield what is not on the list of the flavours: at most an attack, and code."""
    has_code = any(carries_code(module) for module, _ in names)
    found: dict[str, list[str]] = {DANGEROUS: [], CODE: []}
    for module, name in sorted(names):
        if not is_allowed(module, name, flavors):
            kind = _kind_of(module, name, has_code=has_code)
            found[kind].append(f"{module}.{name}"[:200])
    for kind, imported in found.items():
        if imported:
            more = ", …" if len(imported) > _MOST_NAMES else ""
            listed = ", ".join(imported[:_MOST_NAMES])
            yield Finding(path, kind, f"its pickle imports {listed}{more}")


def _kind_of(module: str, name: str, *, has_code: bool) -> str:
    """Tell code from an attack: with functions of its own, a pickle needs more."""
    if has_code and serves_code(module):
        return CODE
    if is_dangerous(module, name) or (is_standard(module) and not has_code):
        return DANGEROUS
    return CODE


class _Scan:
    """The look into one file, however it is packed."""

    def __init__(self, path: str, flavors: frozenset[str], *, is_forced: bool) -> None:
        self._path, self._flavors, self._forced = path, flavors, is_forced

    def file(self, reader: io.BufferedReader, suffix: str, depth: int = 0) -> list[Any]:
        try:
            return list(self._look(reader, suffix, depth))
        except (
            Unreadable,
            OSError,
            EOFError,
            zlib.error,
            lzma.LZMAError,
            tarfile.TarError,
            zipfile.BadZipFile,
            NotImplementedError,
            RuntimeError,
        ) as error:
            return [Finding(self._path, UNREADABLE, f"it cannot be read: {error}")]

    def _look(
        self, reader: io.BufferedReader, suffix: str, depth: int
    ) -> Iterator[Finding]:
        head = reader.peek(300)[:300]
        if depth > _DEPTH:
            raise Unreadable("archives lie in archives in archives")
        if suffix in _KERAS and _LAMBDA in _some(reader):
            yield Finding(self._path, CODE, "a Lambda layer")
        if unpacked := _unpacked(reader, head):
            yield from self.file(_buffered(unpacked), suffix, depth + 1)
        elif head.startswith(b"PK\x03\x04"):
            yield from self._zip(reader, depth)
        elif head[257:262] == b"ustar":
            yield from self._tar(reader, depth)
        elif head.startswith(b"\x93NUMPY"):
            yield from self._npy(reader)
        elif head[:1] == b"\x80" or self._is_called_pickle(suffix):
            yield from self._pickle(reader, is_sure=self._is_called_pickle(suffix))

    def _is_called_pickle(self, suffix: str) -> bool:
        return self._forced or suffix in _PICKLES

    def _pickle(self, reader: BinaryIO, *, is_sure: bool) -> Iterator[Finding]:
        try:
            names = walk_pickles(reader)
        except Unreadable as error:
            names = error.globals
            if is_sure or names:
                yield Finding(self._path, UNREADABLE, f"its pickle: {error}")
        yield from _judged(self._path, names, self._flavors)

    def _npy(self, reader: BinaryIO) -> Iterator[Finding]:
        """Look at an array of objects, which is a pickle behind a header."""
        version = reader.read(8)[6]
        length = int.from_bytes(reader.read(2 if version == 1 else 4), "little")
        if b"O" in reader.read(length).partition(b"fortran_order")[0]:
            yield from self._pickle(reader, is_sure=True)

    def _zip(self, reader: io.BufferedReader, depth: int) -> Iterator[Finding]:
        if not reader.seekable():
            raise Unreadable("an archive lies in a compressed file")
        with zipfile.ZipFile(reader) as archive:
            members = [each for each in archive.infolist() if not each.is_dir()]
            if sum(each.file_size for each in members) > _MOST_UNPACKED:
                raise Unreadable("it unpacks to too much")
            for member in members:
                suffix = PurePosixPath(member.filename).suffix.lower()
                with archive.open(member) as raw:
                    yield from self.file(_buffered(raw), suffix, depth + 1)

    def _tar(self, reader: io.BufferedReader, depth: int) -> Iterator[Finding]:
        with tarfile.open(fileobj=reader, mode="r|") as archive:
            for member in archive:
                if (raw := archive.extractfile(member)) is not None:
                    suffix = PurePosixPath(member.name).suffix.lower()
                    yield from self.file(_buffered(raw), suffix, depth + 1)


class _Capped(io.RawIOBase):
    """A stream that refuses to go on after too many bytes: a bomb."""

    def __init__(self, raw: Any) -> None:
        self._raw, self._left = raw, _MOST_UNPACKED

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._raw.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise Unreadable("it unpacks to too much")
        buffer[: len(data)] = data
        return len(data)


class _Zlib:
    """A zlib stream without a header of a file, as joblib writes it."""

    def __init__(self, reader: BinaryIO) -> None:
        self._reader, self._inflate = reader, zlib.decompressobj()

    def read(self, count: int) -> bytes:
        while not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._reader.read(_CHUNK)
            data = self._inflate.decompress(packed, count)
            if data or not packed:
                return data
        return b""


def _unpacked(reader: io.BufferedReader, head: bytes) -> Any:
    """Return the stream inside a compressed one, or None."""
    if head.startswith(b"\x1f\x8b"):
        return _Capped(gzip.GzipFile(fileobj=reader))
    if head.startswith(b"BZh"):
        return _Capped(bz2.BZ2File(reader))
    if head.startswith(b"\xfd7zXZ"):
        return _Capped(lzma.LZMAFile(reader))
    if head[:1] == b"\x78" and head[1:2] in {b"\x01", b"\x5e", b"\x9c", b"\xda"}:
        return _Capped(_Zlib(reader))
    return None


def _buffered(raw: Any) -> io.BufferedReader:
    return raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(raw, _CHUNK)


def _some(reader: io.BufferedReader) -> bytes:
    """Return the first megabyte without moving on: where Keras keeps its layers."""
    if not reader.seekable():
        return b""
    data = reader.read(_CHUNK)
    reader.seek(0)
    return data
