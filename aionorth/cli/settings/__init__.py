"""The settings of the connection: options, environment and profiles, added up to what a session takes."""

from aionorth.cli.settings.connection import KEYS, Connection, options_for, resolve

__all__ = ["KEYS", "Connection", "options_for", "resolve"]
