"""Async tests run on a loop in virtual time: no test sleeps."""

import asyncio
import inspect

import pytest
from hypothesis import HealthCheck, settings

from aionorth.simulator.virtual_time import VirtualTimeLoop

settings.register_profile("aionorth", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", settings.get_profile("aionorth"), max_examples=2000)
settings.load_profile("aionorth")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(pyfuncitem.obj(**arguments))
    return True
