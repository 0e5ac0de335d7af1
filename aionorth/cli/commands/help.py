"""What the help of several commands says."""

from __future__ import annotations

ENVIRONMENT = """\b
Environment (options come before it, and it comes before a profile):
  AIONORTH_URL          the platform's base URL, as in https://server:8743
  AIONORTH_APP_ID       the app's id
  AIONORTH_SECRET       the app's secret; there is no option for it, because
                        options show in the list of processes
  AIONORTH_SECRET_FILE  instead of it, a file that holds it and that only you
                        can read; with neither, you are asked on a terminal
  AIONORTH_PROFILE      settings under a name of their own, in config.toml;
                        'aionorth check --help' shows an example
  AIONORTH_REDIS_URL    a Redis server through which hosts share flow control
                        and token, as in rediss://user:password@host:6379/0
  AIONORTH_CALLS, _PERIOD, _HEADROOM, _BURST, _STORE, _WORKERS, _TIMEOUT,
  _CA_FILE, _CLIENT_CERT, _CLIENT_KEY: as the options of these names"""

EXIT_CODES = """\b
Exit codes:
  0    all ids are gone from the platform
  1    some are not, or the run ended early
  2    something is missing or cannot be used; nothing was deleted
  3    the platform refused the app or its secret
  130  interrupted; what was told before says how far it came"""
