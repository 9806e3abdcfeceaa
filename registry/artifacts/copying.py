"""Copy the files of one tree to another, a few at a time, hashing on the way."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any

from registry.artifacts.manifest import Manifest, described, hash_file
from registry.artifacts.trees import CHUNK, Entry, Tree

# Each holds a chunk, or two parts of an object: memory does not grow with the model.
_AT_ONCE = 3
_BEAT_SECONDS = 0.5

Beat = Callable[[int, int], None]


class _Stopped(Exception):
    """Another file failed, so this copy is not needed any more."""


class _Progress:
    """How many bytes were copied by all threads, and whether to go on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.done = 0
        self.stopped = False

    def add(self, count: int) -> None:
        if self.stopped:
            raise _Stopped
        with self._lock:
            self.done += count


def copy_files(
    source: Tree, target: Tree, entries: list[Entry], *, share: bool, beat: Beat
) -> Manifest:
    """Copy files, and return what was written.

    `share` lets the target take the bytes without moving them (a hard link, a copy
    made by the storage); they are read once to be hashed. `beat` is called in this
    thread, about twice a second, with the bytes copied so far and those of all files.
    """
    progress = _Progress()
    total = sum(entry.size for entry in entries)
    copy = _share_file if share else _copy_file
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="copy") as pool:
        jobs = [pool.submit(copy, source, target, each, progress) for each in entries]
        waiting: Any = jobs
        try:
            while waiting:
                done, waiting = wait(waiting, _BEAT_SECONDS, FIRST_EXCEPTION)
                for job in done:
                    job.result()
                beat(progress.done, total)
        finally:
            progress.stopped = bool(waiting)
            for job in waiting:
                job.cancel()
    return Manifest([job.result() for job in jobs])


def _copy_file(
    source: Tree, target: Tree, entry: Entry, progress: _Progress
) -> dict[str, Any]:
    sha256, size = hashlib.sha256(), 0
    with (
        source.open(entry.path) as reader,
        target.writer(entry.path, entry.size) as writer,
    ):
        while chunk := reader.read(CHUNK):
            sha256.update(chunk)
            writer.write(chunk)
            size += len(chunk)
            progress.add(len(chunk))
    return described(entry.path, size, sha256.hexdigest())


def _share_file(
    source: Tree, target: Tree, entry: Entry, progress: _Progress
) -> dict[str, Any]:
    if not target.take_over(entry.path, source):
        return _copy_file(source, target, entry, progress)
    progress.add(entry.size)
    return hash_file(target, entry.path)
