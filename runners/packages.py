"""Intake of training packages: safe zips, found functions, stored bytes.

A package is never imported here: its functions are found in the syntax tree.
"""

from __future__ import annotations

import ast
import hashlib
import io
import stat
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from django.conf import settings

from core.errors import DomainError, InvalidParameter, TooLarge
from runners import blobs
from runners.models import PackageVersion

TRAIN, SERVE, REQUIREMENTS = "train.py", "main.py", "requirements.txt"
DATA = "data"
_NEEDED = ("train", "save")

MAX_ENTRIES = 20_000
MAX_RATIO = 100
MAX_BYTES = 4 * 2**30
_RATIO_COUNTS_FROM = 2**20  # small files of zeros are no bomb
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest moment that a zip can tell
_CHUNK = 2**20


class PackageDamaged(DomainError):
    """The stored bytes of a package version are gone or changed."""


@dataclass(frozen=True)
class Intake:
    """A package that was checked and stored."""

    digest: str
    size_bytes: int
    functions: dict[str, list[str]]
    requirements: str


def packages_directory() -> Path:
    return Path(settings.HOME) / "packages"


def path_of(digest: str) -> Path:
    """Return where the canonical zip of a digest lies."""
    return blobs.blob_path(digest, packages_directory())


def take_in(upload: IO[bytes]) -> Intake:
    """Check an uploaded zip, store its canonical form, and say what it holds.

    Canonical: files only, sorted, fixed times and modes, a single root folder
    removed; so the same files always have the same digest.
    Raises InvalidParameter or TooLarge saying which entry is wrong.
    """
    with tempfile.TemporaryDirectory(dir=_scratch()) as scratch:
        directory = Path(scratch) / "files"
        directory.mkdir()
        unpack(upload, directory)
        directory = _without_root_folder(directory)
        if (directory / DATA).exists():
            raise InvalidParameter(
                "The package holds 'data', the name under which a run finds its dataset; "
                "rename it."
            )
        return take_directory(directory, blobs.files_below(directory))


def take_directory(directory: Path, files: Iterable[Path]) -> Intake:
    """Store the given files of a directory as a package."""
    functions = find_functions(directory)
    with tempfile.TemporaryFile(dir=_scratch()) as packed:
        _pack(directory, files, packed)
        packed.seek(0)
        digest, size = blobs.store(packed, packages_directory())
    requirements = directory / REQUIREMENTS
    text = requirements.read_text("utf-8") if requirements.is_file() else ""
    return Intake(digest, size, functions, text)


def _scratch() -> Path:
    packages_directory().mkdir(parents=True, exist_ok=True)
    return packages_directory()


def unpack(archive: IO[bytes], directory: Path) -> None:
    """Write the files of a zip below a directory, and nothing anywhere else."""
    try:
        with zipfile.ZipFile(archive) as opened:
            for entry, name in _checked_entries(opened):
                _write_entry(opened, entry, directory / name)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise InvalidParameter(
            f"The package is not a readable zip: {error}."
        ) from error


def _checked_entries(opened: zipfile.ZipFile) -> Iterator[tuple[zipfile.ZipInfo, str]]:
    entries = [entry for entry in opened.infolist() if not entry.is_dir()]
    if len(entries) > MAX_ENTRIES:
        raise TooLarge(f"The package has more than {MAX_ENTRIES} files.")
    if sum(entry.file_size for entry in entries) > MAX_BYTES:
        raise TooLarge(f"The package unpacks to more than {MAX_BYTES} bytes.")
    seen: set[str] = set()
    for entry in entries:
        name = blobs.safe_path(entry.filename, "The entry")
        if name.casefold() in seen:
            raise InvalidParameter(f"The entry {name!r} appears twice.")
        seen.add(name.casefold())
        _check_kind(entry)
        yield entry, name


def _check_kind(entry: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise InvalidParameter(f"The entry {entry.filename!r} is a link or a device.")
    if entry.flag_bits & 0x1:
        raise InvalidParameter(f"The entry {entry.filename!r} is encrypted.")
    if entry.file_size > max(_RATIO_COUNTS_FROM, MAX_RATIO * entry.compress_size):
        raise TooLarge(f"The entry {entry.filename!r} is packed suspiciously tight.")


def _write_entry(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    """Write one entry; what its header says of its size is not believed."""
    left = entry.file_size
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(entry) as reader, target.open("xb") as writer:
            while chunk := reader.read(min(_CHUNK, left + 1)):
                left -= writer.write(chunk)
                if left < 0:
                    raise TooLarge(f"The entry {entry.filename!r} is larger than said.")
    except (FileExistsError, NotADirectoryError) as error:
        raise InvalidParameter(
            f"The entry {entry.filename!r} is both a file and a folder."
        ) from error


def _without_root_folder(directory: Path) -> Path:
    """Step into the one folder that holds all, as zips made of a folder have it."""
    children = list(directory.iterdir())
    if len(children) == 1 and children[0].is_dir() and children[0].name != DATA:
        return children[0]
    return directory


def _pack(directory: Path, files: Iterable[Path], target: IO[bytes]) -> None:
    names = sorted(path.relative_to(directory).as_posix() for path in files)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for name in names:
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            entry.file_size = (directory / name).stat().st_size
            with (
                (directory / name).open("rb") as reader,
                packed.open(entry, "w") as writer,
            ):
                while chunk := reader.read(_CHUNK):
                    writer.write(chunk)


def zip_directory(directory: Path) -> io.BytesIO:
    """Pack a small directory into a zip in memory, ready to be uploaded."""
    packed = io.BytesIO()
    _pack(directory, blobs.files_below(directory), packed)
    packed.seek(0)
    return packed


def find_functions(directory: Path) -> dict[str, list[str]]:
    """Return the methods of class Main in train.py and main.py, by file."""
    functions = {
        name: _methods_of_main(directory / name)
        for name in (TRAIN, SERVE)
        if (directory / name).is_file()
    }
    require_trainable(functions)
    return functions


def _methods_of_main(path: Path) -> list[str]:
    try:
        tree = ast.parse(path.read_bytes(), path.name)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        raise InvalidParameter(
            f"{path.name}, line {line}: {getattr(error, 'msg', error)}."
        ) from error
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "Main":
            return sorted(
                child.name for child in node.body if isinstance(child, ast.FunctionDef)
            )
    raise InvalidParameter(f"{path.name} has no class Main.")


def require_trainable(functions: dict[str, list[str]]) -> None:
    """Let a package through that can be trained. Raises InvalidParameter."""
    if TRAIN not in functions:
        raise InvalidParameter(f"The package has no {TRAIN} at its root.")
    for name in _NEEDED:
        if name not in functions[TRAIN]:
            raise InvalidParameter(
                f"{TRAIN}: class Main has no {name}(); training calls "
                "Main().train('./data') and then save()."
            )


def check_out(version: PackageVersion, target: Path) -> None:
    """Unpack a stored package into a fresh private directory.

    Raises PackageDamaged when the stored bytes are not what was uploaded.
    """
    target.mkdir(parents=True)
    try:
        with path_of(version.digest).open("rb") as stored:
            if hashlib.file_digest(stored, "sha256").hexdigest() != version.digest:
                raise PackageDamaged(f"The bytes of {version} were changed on disk.")
            stored.seek(0)
            unpack(stored, target)
    except FileNotFoundError as error:
        raise PackageDamaged(f"The bytes of {version} are gone.") from error
