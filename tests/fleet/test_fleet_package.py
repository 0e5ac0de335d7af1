"""The names that `aionorth.fleet` has for its users."""

import importlib
import subprocess
import sys

import pytest

import aionorth.fleet
from aionorth import ArgumentError


def test_the_broker_is_that_of_the_environment_whatever_was_imported_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(aionorth.fleet.__dict__, "broker", raising=False)
    monkeypatch.delenv("AIONORTH_REDIS_URL", raising=False)
    from aionorth.fleet import Fleet  # noqa: PLC0415 - before the broker

    assert Fleet.__module__ == "aionorth.fleet.fleet"
    streams = importlib.import_module("aionorth.fleet.streams")
    with pytest.raises(ArgumentError, match="AIONORTH_REDIS_URL is missing: set it, as in: export"):
        _ = aionorth.fleet.broker
    monkeypatch.setenv("AIONORTH_REDIS_URL", "redis://127.0.0.1:1/0")
    assert isinstance(aionorth.fleet.broker, streams.FleetBroker)
    assert aionorth.fleet.broker is aionorth.fleet.broker
    monkeypatch.delitem(aionorth.fleet.__dict__, "broker")


def test_parts_need_neither_taskiq_nor_redis_to_be_imported() -> None:
    source = (
        "import sys, aionorth.fleet; aionorth.fleet.Part; "
        "assert not {'taskiq', 'redis', 'taskiq_redis'} & sys.modules.keys(), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", source], check=True, timeout=60)
