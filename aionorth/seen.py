"""Which ids have been drawn before, for a million of them in little memory."""

from __future__ import annotations

import os
from hashlib import blake2b

BUCKET_BITS = 12
DIGEST_SIZE = 12


class SeenIds:
    """A set of ids that can only grow, at about 12 bytes an id whatever its length.

    A `set` of a million ids takes some 100 MiB. Here an id is its keyed 96-bit digest, of which 12 bits choose a bucket
    and the rest is appended to it. Two ids of a million share a digest with a probability of about 10⁻¹⁷, and the
    random key leaves nobody a way to look for such a pair.
    """

    def __init__(self) -> None:
        self._key = os.urandom(16)
        self._buckets = [bytearray() for _ in range(1 << BUCKET_BITS)]

    def add(self, item: str) -> bool:
        """Add `item` and return True, or return False where it was there already."""
        # surrogatepass: an id that cannot be sent must still be told apart from the others.
        digest = blake2b(item.encode("utf-8", "surrogatepass"), digest_size=DIGEST_SIZE, key=self._key).digest()
        bucket = self._buckets[int.from_bytes(digest[:2]) >> (16 - BUCKET_BITS)]
        print_ = digest[1:]  # the byte that is cut off lies within the bits that chose the bucket
        at = bucket.find(print_)
        while at >= 0 and at % len(print_):  # found astride two entries: not an entry
            at = bucket.find(print_, at + 1)
        if at >= 0:
            return False
        bucket += print_
        return True
