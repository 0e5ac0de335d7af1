"""What is public of events, and what is imported only when it is asked for."""

import subprocess
import sys

import attrs
import pytest

import aionorth.observe
from aionorth import events


def test_every_event_is_public() -> None:
    made = {name for name, value in vars(events).items() if isinstance(value, type) and issubclass(value, events.Event)}
    assert made <= set(aionorth.observe.__all__)
    assert set(aionorth.observe.__all__) - made == {"Observer", "PrometheusObserver", "OpenTelemetryObserver"}
    assert {getattr(aionorth.observe, name) for name in made} == {getattr(events, name) for name in made}


def test_every_event_is_a_frozen_value_given_by_name() -> None:
    for name in set(aionorth.observe.__all__) & set(vars(events)) - {"Observer"}:
        event = getattr(events, name)
        assert all(field.kw_only for field in attrs.fields(event))
        assert event.__setattr__ is not object.__setattr__


@pytest.mark.parametrize(
    ("observer", "package", "extra"),
    [
        ("PrometheusObserver", "prometheus_client", "prometheus"),
        ("OpenTelemetryObserver", "opentelemetry", "otel"),
    ],
)
def test_an_observer_without_its_package_names_the_extra(observer: str, package: str, extra: str) -> None:
    program = (
        f"import sys; sys.modules['{package}'] = None\n"
        f"try:\n    from aionorth.observe import {observer}\n"
        "except ImportError as error:\n    print(error)"
    )
    assert _said(program) == f"{observer} needs {package}: pip install 'aionorth[{extra}]'"


@pytest.mark.slow
def test_neither_package_is_imported_before_its_observer_is_asked_for() -> None:
    program = (
        "import sys, aionorth, aionorth.observe; aionorth.NorthSession; aionorth.observe.CallEnded\n"
        "print(sorted({'prometheus_client', 'opentelemetry'} & set(sys.modules)))"
    )
    assert _said(program) == "[]"


@pytest.mark.parametrize(
    ("module", "package", "name"),
    [
        ("aionorth.observe", "prometheus_client", "PrometheusObserver"),
        ("aionorth.observe", "opentelemetry", "OpenTelemetryObserver"),
        ("aionorth.fleet", "taskiq", "Fleet"),
    ],
)
def test_pydoc_shows_what_can_be_used(module: str, package: str, name: str) -> None:
    program = (
        f"import sys, pydoc, {module}\n"
        f"if len(sys.argv) > 1: sys.modules['{package}'] = None\n"
        f"print('class {name}(' in pydoc.plain(pydoc.render_doc({module})))"
    )
    assert _said(program) == "True"
    assert _said(program, "without") == "False"


def test_a_name_that_is_not_there_is_said_not_to_be() -> None:
    with pytest.raises(AttributeError, match="no attribute 'StatsdObserver'"):
        _ = aionorth.observe.StatsdObserver  # type: ignore[attr-defined]
    assert {"PrometheusObserver", "CallEnded"} <= set(dir(aionorth.observe))


def _said(program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
