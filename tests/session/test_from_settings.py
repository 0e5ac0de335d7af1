"""Sessions with the settings of the environment and of profiles."""

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import support
from shell import APP, SECRET, Shell
from support import shown

import aionorth
from aionorth import FlowControl, MachineStore, NorthSession, RedisStore, SettingsError
from aionorth.cli.settings import resolve
from aionorth.cli.settings.given import Given
from aionorth.session.options import SessionOptions
from aionorth.simulator import Simulator

URL = "https://platform.example:8743"


@pytest.fixture
def set_up(shell: Shell) -> Shell:
    shell.export(URL=URL, APP_ID=APP, SECRET=SECRET)
    return shell


def options_of(north: NorthSession) -> SessionOptions:
    return north._options


def problem(profile: str | None = None, **options: Any) -> str:
    """What is wrong with the settings; no secret is shown on the way."""
    with pytest.raises(SettingsError) as caught:
        NorthSession.from_env(**options) if profile is None else NorthSession.from_profile(profile, **options)
    assert SECRET not in shown(caught.value)
    return str(caught.value)


async def test_a_session_from_the_environment_makes_calls(shell: Shell) -> None:
    async with Simulator() as platform:
        shell.export(URL=platform.url, APP_ID=support.APP, SECRET=support.SECRET)
        async with NorthSession.from_env() as north:
            assert (await north.delete_subscriptions(platform.add_subscriptions(3))).deleted == 3


def test_the_commands_variables_hold(set_up: Shell) -> None:
    set_up.export(CALLS="50", PERIOD="30", HEADROOM="0.2", BURST="5", TIMEOUT="7", MAX_OUTAGE="2h", CA_FILE="ca.pem")
    options = options_of(NorthSession.from_env(ca_file=None))
    assert options.flow_control == FlowControl(50, 30.0, headroom=0.2, burst=5)
    assert (options.connection.timeout, options.retry.outage, options.store) == (7.0, 7200.0, None)


def test_what_no_setting_says_is_as_in_the_constructor(set_up: Shell) -> None:
    ours, plain = options_of(NorthSession.from_env()), options_of(NorthSession(URL, app_id=APP, secret=SECRET))
    assert (ours.flow_control, ours.retry, ours.share_token) == (plain.flow_control, plain.retry, plain.share_token)
    assert repr(ours.connection) == repr(plain.connection)
    assert set_up is not None


def test_the_store_is_the_command_lines(set_up: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIONORTH_STORE")
    assert options_of(NorthSession.from_env()).store == MachineStore() == resolve(Given()).store
    set_up.export(REDIS_URL="redis://host")
    assert options_of(NorthSession.from_env()).store == RedisStore("redis://host")


def test_arguments_come_before_settings_which_are_not_looked_at(set_up: Shell) -> None:
    set_up.export(URL="", TIMEOUT="soon", CALLS="many", STORE="shed", MAX_OUTAGE="long", CA_FILE="none.pem", SECRET=" ")
    north = NorthSession.from_env(
        url="http://127.0.0.1:1",
        token="t" * 32,
        timeout=3.0,
        flow_control=FlowControl(5),
        store=None,
        retry=aionorth.RetryPolicy(),
        ca_file=None,
    )
    assert repr(north) == f"<NorthSession http://127.0.0.1:1 app_id='{APP}'>"
    assert options_of(north).connection.timeout == 3.0
    assert options_of(north).secret is None


def test_all_that_is_missing_or_wrong_is_named_at_once_without_options_of_a_shell(shell: Shell) -> None:
    shell.export(TIMEOUT="soon", CLIENT_KEY="key.pem")
    lines = problem().splitlines()
    assert [line.split(" ")[0] for line in lines] == [
        *("AIONORTH_URL", "AIONORTH_APP_ID", "AIONORTH_TIMEOUT", "AIONORTH_CLIENT_KEY", "AIONORTH_SECRET")
    ]
    assert "(or give url=, or url in a profile)" in lines[0]
    assert "give a number of seconds above 0" in lines[2]
    assert not any("--" in line for line in lines)


def test_a_profile_has_the_settings_of_its_name(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    file = shell.secret_file()
    shell.configure(
        f"[profiles.default]\ncalls = 7\n[profiles.prod]\nurl = '{URL}'\napp_id = '{APP}'\nsecret_file = '{file}'\n"
        "calls = 30\n"
    )
    assert options_of(NorthSession.from_profile("prod")).flow_control.calls == 30
    assert options_of(NorthSession.from_profile("prod", flow_control=FlowControl(9))).flow_control.calls == 9
    monkeypatch.setenv("AIONORTH_PROFILE", "prod")
    assert options_of(NorthSession.from_env()).flow_control.calls == 30
    monkeypatch.delenv("AIONORTH_PROFILE")
    assert options_of(NorthSession.from_env(url=URL, app_id=APP, secret=SECRET)).flow_control.calls == 7


def test_a_profile_that_is_not_there_is_named_with_those_that_are(set_up: Shell) -> None:
    set_up.configure("[profiles.prof]\n")
    assert "has no profile 'prod': it has prof; did you mean prof?" in problem("prod")
    set_up.configure("[profiles.prod]\ncalls = 0\n")
    assert "calls in profile 'prod' of " in problem("prod")


def test_a_variable_that_replaces_what_a_profile_has_is_in_the_log(
    set_up: Shell, caplog: pytest.LogCaptureFixture
) -> None:
    set_up.configure("[profiles.prod]\nurl = 'https://prod.example'\n")
    with caplog.at_level(logging.WARNING, "aionorth"):
        assert URL in repr(NorthSession.from_profile("prod"))
    assert "AIONORTH_URL is used instead of url in profile 'prod'" in caplog.text


@pytest.mark.parametrize("content", ["", f" {SECRET}", f"{SECRET}\udcff".encode("utf-8", "surrogateescape")])
def test_a_secret_file_that_cannot_be_used_is_refused(
    set_up: Shell, monkeypatch: pytest.MonkeyPatch, content: Any
) -> None:
    monkeypatch.delenv("AIONORTH_SECRET")
    set_up.export(SECRET_FILE=str(set_up.secret_file(content)))
    assert problem()
    set_up.export(SECRET_FILE=str(set_up.secret_file(mode=0o644)))
    assert "holds a secret and is open to every user: chmod 600" in problem()


def test_a_secret_argument_that_cannot_be_used_is_not_shown(set_up: Shell) -> None:
    with pytest.raises(aionorth.ArgumentError) as caught:
        NorthSession.from_env(secret=SECRET * 40)
    assert SECRET not in shown(caught.value)
    assert set_up is not None


@pytest.mark.slow
def test_without_the_command_lines_packages_the_environment_can_be_read(tmp_path: Path) -> None:
    code = """
import sys
for name in ("typer", "click", "rich", "jinja2", "platformdirs"):
    sys.modules[name] = None
import aionorth
from aionorth import NorthSession
try:
    NorthSession.from_env()
except aionorth.SettingsError as exc:
    print(exc)
print(NorthSession.from_env(store=None))
try:
    NorthSession.from_profile("prod")
except aionorth.SettingsError as exc:
    print(exc)
"""
    env = {"AIONORTH_URL": URL, "AIONORTH_APP_ID": APP, "AIONORTH_SECRET": SECRET, "HOME": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    install = "is found by the package platformdirs: pip install 'aionorth[cli]'"
    alone = " while nothing else uses this app: AIONORTH_STORE=memory, or store=None"
    assert run.stdout.splitlines() == [
        f"the directory for the app's store {install}, or do without{alone}",
        f"<NorthSession {URL} app_id='{APP}'>",
        f"the directory for profiles {install}",
    ]
