"""Which ids have been drawn before, for a million of them in little memory."""

from __future__ import annotations

import secrets
import struct

EXACT = 8192
"""Up to this many ids are kept as they are, because that is fastest."""

BUCKET_BITS = 12

PRINT_SIZE = 8
"""Bytes of an id's second hash, which are kept; bits of its first choose the bucket."""

_WHICH = (1 << BUCKET_BITS) - 1
_print_of = struct.Struct("=q").pack


class SeenIds:
    """A set of ids that can only grow, at about 9 bytes an id whatever its length, once it is large.

    A `set` of a million ids takes some 100 MiB. Of more than a few thousand, 76 bits of two of Python's own string
    hashes (SipHash, whose key each process draws at random) are kept: 12 bits choose a bucket, and 64 are appended to
    it. That any two ids of a million share all of them has a probability of 7 in a million millions.
    """

    def __init__(self) -> None:
        self._ids: set[str] | None = set()
        self._salt = secrets.token_hex(8)
        self._buckets: list[bytearray] = []

    def add(self, item: str) -> bool:
        """Add `item` and return True, or return False if it was there already."""
        if self._ids is not None:
            if item in self._ids:
                return False
            if len(self._ids) < EXACT:
                self._ids.add(item)
                return True
            self._shrink(self._ids)
        bucket = self._buckets[hash(item) & _WHICH]
        print_ = _print_of(hash(self._salt + item))
        at = bucket.find(print_)
        while at >= 0 and at % PRINT_SIZE:  # the match spans two entries
            at = bucket.find(print_, at + 1)
        if at >= 0:
            return False
        bucket += print_
        return True

    def _shrink(self, ids: set[str]) -> None:
        """From now on, keep only what tells the ids apart."""
        self._ids = None
        self._buckets = [bytearray() for _ in range(1 << BUCKET_BITS)]
        for id_ in ids:
            self.add(id_)
