"""The journal of a purge: what it is to do, and what has become of each id."""

from aionorth.purge.journal.journal import Entry, History, Journal, check_new, read

__all__ = ["Entry", "History", "Journal", "check_new", "read"]
