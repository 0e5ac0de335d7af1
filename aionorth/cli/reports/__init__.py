"""The report of a purge, made from its journal: for programs, and as a page for people."""
