"""Which ids have been drawn before, for a million of them in little memory."""

from __future__ import annotations

import secrets
from collections import defaultdict

EXACT = 8192
"""How many ids are kept as they are, because that is fastest; what comes after them is kept in little memory."""

BUCKET_BITS = 12

PRINT_SIZE = 8
"""Bytes of an id's second hash, which are kept; bits of its first choose the bucket."""

_WHICH = (1 << BUCKET_BITS) - 1


class SeenIds:
    """A set of ids that can only grow, at about 9 bytes an id whatever its length, once it is large.

    A `set` of a million ids takes some 100 MiB. The first ids are kept in one; of those that come after them, 76 bits
    of two of Python's own string hashes (SipHash, whose key each process draws at random) are: 12 bits choose a bucket,
    and 64 are appended to it. Two ids of a million share all of them with a probability of 7 in a million millions.
    """

    def __init__(self) -> None:
        self._first = set[str]()
        self._salt = secrets.token_hex(8)
        self._buckets = defaultdict[int, bytearray](bytearray)

    def add(self, item: str) -> bool:
        """Add `item` and return True, or return False where it was there already."""
        first = self._first
        if item in first:
            return False
        if len(first) < EXACT:
            first.add(item)
            return True
        bucket = self._buckets[hash(item) & _WHICH]
        print_ = hash(self._salt + item).to_bytes(PRINT_SIZE, "little", signed=True)
        at = bucket.find(print_)
        while at >= 0 and at % PRINT_SIZE:  # found astride two entries: not an entry
            at = bucket.find(print_, at + 1)
        if at >= 0:
            return False
        bucket += print_
        return True
