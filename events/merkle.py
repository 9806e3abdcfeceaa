"""Fold many hashes into one, as Certificate Transparency does (RFC 6962, 2.1).

The root proves every leaf and their order; a proof that one leaf is in it needs
only the log2 of their number.
"""

from __future__ import annotations

import hashlib


class MerkleFold:
    """The root of the leaves added so far, in memory that grows by their log2."""

    def __init__(self) -> None:
        self.count = 0
        # roots of full subtrees, the largest first
        self._roots: list[bytes] = []

    def add(self, leaf: str) -> None:
        """Add the next leaf, given by its content's hash."""
        node = hashlib.sha256(b"\0" + leaf.encode()).digest()
        full = self.count
        while full & 1:
            node = _parent(self._roots.pop(), node)
            full >>= 1
        self._roots.append(node)
        self.count += 1

    @property
    def root(self) -> str:
        """The root as hex; of no leaves, the hash of nothing."""
        if not self._roots:
            return hashlib.sha256().hexdigest()
        *left, node = self._roots
        for each in reversed(left):
            node = _parent(each, node)
        return node.hex()


def _parent(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()
