"""Where the command line has its settings from."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from shell import APP, SECRET, Run, Shell
from support import shown

from aionorth import ArgumentError, FlowControl, MachineStore, RedisStore
from aionorth.cli import settings
from aionorth.cli.output.messages import SET_BY, ProblemError
from aionorth.cli.settings import Connection, profiles, resolve, secrets
from aionorth.cli.settings.given import Given
from aionorth.common.text import visible
from aionorth.session.settings import OPTIONS_ONLY, OTHER_VARIABLES, variable
from aionorth.simulator import Simulator

URL = "https://platform.example:8743"


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """What set which setting is forgotten once a command ends; `resolve` alone is none."""
    yield
    SET_BY.clear()


@pytest.fixture
def set_up(shell: Shell) -> Shell:
    shell.export(URL=URL, APP_ID=APP, SECRET=SECRET)
    return shell


def problem(given: Given | None = None) -> str:
    """What is wrong with the settings; no secret is shown on the way."""
    with pytest.raises((ProblemError, ArgumentError)) as caught:
        resolve(given or Given())
    assert SECRET not in shown(caught.value)
    return str(caught.value)


def fact(connection: Connection, key: str) -> Any:
    """What a connection has of a setting."""
    if key in {"calls", "period", "headroom", "burst"}:
        return getattr(connection.flow_control, key)
    if key == "max_outage":
        return f"{connection.max_outage:g}s"
    if key in {"client_cert", "client_key"}:
        return (connection.client_cert or (None, None))[key == "client_key"]
    return connection.secret.value if key == "secret_file" else getattr(connection, key)


# --- Options, environment, profile

VALUES: dict[str, tuple[Any, Any]] = {
    "url": (URL, "https://other.example"),
    "app_id": ("one", "another"),
    "calls": (7, 8),
    "period": (7.5, 8.0),
    "headroom": (0.1, 0.25),
    "burst": (3, 4),
    "workers": (5, 6),
    "timeout": (1.5, 2.0),
    "max_outage": ("3600s", "90s"),
    "ca_file": ("/one.pem", "/another.pem"),
    "client_cert": ("/one.pem", "/another.pem"),
    "tls_relaxed_x509": (False, True),
    "unsafe_accept_any_host_name": (True, False),
    "trust_env": (True, False),
    "share_token": (False, True),
}


def toml(value: object) -> str:
    return str(value).lower() if isinstance(value, (bool, int, float)) else f"'{value}'"


def test_every_setting_is_covered_here() -> None:
    assert {*VALUES, "secret_file", "client_key", "store", "redis_url"} == set(settings.KEYS)


@pytest.mark.parametrize("key", VALUES)
def test_options_come_before_the_environment_and_that_before_the_profile(set_up: Shell, key: str) -> None:
    one, another = VALUES[key]
    usual = fact(resolve(Given()), key)
    set_up.export(**{key.upper(): ""})
    set_up.configure(f"[profiles.prod]\n{key} = {toml(one)}\n")
    prod = Given(profile="prod")
    assert fact(resolve(prod), key) == one
    if key not in {"unsafe_accept_any_host_name", "trust_env", "share_token"}:
        set_up.export(**{key.upper(): str(another)})
        assert fact(resolve(prod), key) == another
        assert fact(resolve(Given()), key) == another != usual
    assert fact(resolve(attrs.evolve(prod, **{key: another})), key) == another
    assert fact(resolve(attrs.evolve(prod, **{key: one})), key) == one


@pytest.mark.usefixtures("set_up")
def test_what_nobody_sets_has_the_librarys_default() -> None:
    connection = resolve(Given())
    assert connection.flow_control == FlowControl()
    assert (connection.workers, connection.timeout, connection.max_outage) == (16, 30.0, 12 * 3600.0)
    assert (connection.ca_file, connection.client_cert) == (None, None)
    assert not connection.trust_env
    assert not connection.unsafe_accept_any_host_name


def test_the_store_is_that_of_the_machine_unless_another_is_wanted(set_up: Shell) -> None:
    set_up.export(STORE="")
    machine = resolve(Given()).store
    assert isinstance(machine, MachineStore)
    assert machine.directory == Path(os.environ["XDG_STATE_HOME"], "aionorth", "flow")
    assert resolve(Given(store="memory")).store is None
    set_up.export(REDIS_URL="redis://:hush@host:6379/0")
    assert resolve(Given()).store == RedisStore("redis://:hush@host:6379/0")
    set_up.export(STORE="memory")
    assert resolve(Given()).store is None
    assert resolve(Given(store="machine")).store == machine
    set_up.configure("[profiles.default]\nstore = 'redis'\n")
    set_up.export(STORE="")
    assert isinstance(resolve(Given()).store, RedisStore)


def test_a_store_that_cannot_be_is_named_and_no_password_shown(set_up: Shell) -> None:
    set_up.export(STORE="")
    assert problem(Given(store="disk")) == "--store is 'disk': give machine, redis or memory"
    assert problem(Given(store="redis")).startswith("AIONORTH_REDIS_URL is missing: set it, as in: export")
    set_up.export(REDIS_URL="http://:hush@host")
    reported = problem()
    assert reported.startswith("AIONORTH_REDIS_URL: give a URL")
    assert "hush" not in reported
    for unreadable in ("redis://:hush@host:port/0", "redis://:hush@[::1/0"):
        set_up.export(REDIS_URL=unreadable)
        reported = problem()
        assert reported.startswith("AIONORTH_REDIS_URL: it cannot be read")
        assert "hush" not in reported
    set_up.export(REDIS_URL="")
    set_up.configure("[profiles.default]\nredis_url = 'redis://:hush@host'\n")
    profiles.config_file().chmod(0o644)
    reported = problem()
    assert "holds a password, and other users can read that file: chmod 600 it" in reported
    assert "hush" not in reported
    profiles.config_file().chmod(0o600)
    assert isinstance(resolve(Given()).store, RedisStore)
    set_up.configure("[profiles.default]\nstore = 7\n")
    assert problem().endswith("is 7: give machine, redis or memory")


PASSWORDS = ["https://me:hush@host", " https://me:hush@host", "me:hush@host:80 ", "redis://:hu/sh#x@host"]


@pytest.mark.parametrize("value", PASSWORDS)
@pytest.mark.parametrize("key", ["url", "store", "calls", "timeout", "redis_url"])
def test_a_password_in_a_setting_that_cannot_be_used_is_not_shown(set_up: Shell, key: str, value: str) -> None:
    set_up.export(**{"STORE": "redis" if key == "redis_url" else "", key.upper(): value})
    for option in ("check", "check --ca-file=x"):
        reported = set_up(*option.split())
        assert "me:" not in reported.out + reported.err
        assert "hu" not in reported.out + reported.err
    set_up.export(**{key.upper(): ""})
    set_up.configure(f"[profiles.default]\n{key} = ['{value}']\n")
    assert "hu" not in problem()


def test_whole_numbers_will_do_for_seconds_in_a_profile(set_up: Shell) -> None:
    set_up.configure("[profiles.default]\nperiod = 1\ntimeout = 5\nheadroom = 0\n")
    assert resolve(Given()).flow_control.period == 1.0


def test_the_profile_named_default_is_used_where_none_is_named(set_up: Shell) -> None:
    set_up.configure("[profiles.default]\ncalls = 1\n[profiles.a]\ncalls = 2\n[profiles.b]\ncalls = 3\n")
    assert resolve(Given()).flow_control.calls == 1
    set_up.export(PROFILE="a")
    assert resolve(Given()).flow_control.calls == 2
    assert resolve(Given(profile="b")).flow_control.calls == 3
    set_up.export(PROFILE="")
    assert resolve(Given()).flow_control.calls == 1


@pytest.mark.usefixtures("set_up")
def test_without_a_file_of_profiles_nothing_is_missed() -> None:
    assert not profiles.config_file().exists()
    assert resolve(Given()).url == URL


def test_a_profile_alone_will_do(shell: Shell, platform: Simulator) -> None:
    directory = shell.configure(f"[profiles.lab]\nurl='{platform.url}'\napp_id='{APP}'\nsecret_file='lab.secret'\n")
    (directory / "lab.secret").touch(mode=0o600)
    (directory / "lab.secret").write_text(f"{SECRET}\n")
    ids = shell.file("\n".join(platform.add_packages(2)))
    assert shell("delete", "packages", "--ids-file", ids, "--profile", "lab").code == 0
    assert not platform.package_ids()


def test_paths_in_a_profile_begin_where_the_profile_stands(set_up: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    directory = set_up.configure(
        "[profiles.default]\nca_file = 'ca.pem'\nclient_cert = '~/own.pem'\nclient_key = '/etc/key.pem'\n"
    )
    connection = resolve(Given())
    assert connection.ca_file == str(directory / "ca.pem")
    assert connection.client_cert == ("/home/me/own.pem", "/etc/key.pem")
    set_up.export(CA_FILE="ca.pem")
    assert resolve(Given()).ca_file == "ca.pem"
    assert resolve(Given(ca_file="~/ca.pem")).ca_file == "/home/me/ca.pem"


@pytest.mark.usefixtures("set_up")
def test_a_home_that_there_is_not_is_named() -> None:
    assert "--ca-file is '~no-such-user/x': there is no such user's home" in problem(Given(ca_file="~no-such-user/x"))


def test_a_directory_that_is_not_a_whole_path_is_named(set_up: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up.export(STORE="machine")
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    monkeypatch.setattr("platformdirs.user_state_path", lambda *_: Path("~"))  # which is where nobody has a home
    assert "XDG_STATE_HOME is 'state': for the app's store set it to a whole path, from / on, or" in problem()


def test_a_setting_of_tls_that_cannot_be_used_is_told_once(set_up: Shell) -> None:
    set_up.export(TLS_RELAXED_X509="maybe", URL="http://server:8743")
    assert problem() == "AIONORTH_TLS_RELAXED_X509 is 'maybe': give true or false"


@pytest.mark.usefixtures("set_up")
def test_a_name_of_a_profile_that_is_empty_is_refused() -> None:
    assert problem(Given(profile="")) == "the name of the profile is empty: give one"


@pytest.mark.usefixtures("set_up")
@pytest.mark.parametrize(("name", "shown"), [("a\nb", "'a\\nb'"), ("a" * 257, f"'{'a' * 39}…'")])
def test_a_name_that_no_profile_can_have_is_refused(name: str, shown: str) -> None:
    assert problem(Given(profile=name)) == f"profile {shown}: give a name of at most 256 printable characters"


@pytest.mark.parametrize("app_id", ["m\xfcnchen", "m\udcfcnchen"])
def test_an_app_id_that_no_header_can_have_is_refused_as_such(set_up: Shell, app_id: str) -> None:
    assert "--app-id must be printable ASCII" in set_up("check", "--app-id", app_id).err


def test_a_certificate_does_not_take_the_key_of_the_one_it_replaces(set_up: Shell) -> None:
    set_up.configure("[profiles.default]\nclient_cert = '/prod.pem'\nclient_key = '/prod.key'\n")
    assert resolve(Given()).client_cert == ("/prod.pem", "/prod.key")
    assert resolve(Given(client_cert="/own.pem")).client_cert == ("/own.pem", "/own.pem")
    assert resolve(Given(client_cert="/own.pem", client_key="/own.key")).client_cert == ("/own.pem", "/own.key")
    assert resolve(Given(client_key="/own.key")).client_cert == ("/prod.pem", "/own.key")


def test_a_variable_that_overrides_a_profile_is_reported(set_up: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    file = set_up.configure(f"[profiles.prod]\nurl = 'https://prod.example'\napp_id = '{APP}'\n") / "config.toml"
    assert resolve(Given(profile="prod")).url == URL
    reported = capsys.readouterr().err
    assert reported == f"aionorth: AIONORTH_URL is used instead of url in profile 'prod' of {file}\n"
    resolve(Given(profile="prod", url="https://third.example"))
    assert capsys.readouterr().err == ""
    set_up.configure("[profiles.prod]\nsecret_file = 'x'\n")
    resolve(Given(profile="prod"))
    assert capsys.readouterr().err.startswith("aionorth: AIONORTH_SECRET is used instead of secret_file in profile")


def test_the_variable_with_the_secret_is_reported_beside_that_of_its_file(
    set_up: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up.export(SECRET_FILE="/forgotten")
    assert resolve(Given()).secret.value == SECRET
    assert capsys.readouterr().err == "aionorth: AIONORTH_SECRET is used instead of AIONORTH_SECRET_FILE\n"


def test_help_shows_the_defaults(shell: Shell) -> None:
    text = re.sub(r"\s+", " ", shell("check", "--help").out)
    for default in ("calls per period. [default: 100]", "[default: 60]", "[default: 30]", "[default: 16]"):
        assert default in text


def test_help_has_every_variable_in_full(shell: Shell) -> None:
    text = shell("--help").out
    for key in {*settings.KEYS, *OTHER_VARIABLES, "secret"} - OPTIONS_ONLY:
        assert re.search(rf"\b{variable(key)}\b", text)


# --- What is missing or cannot be used


def test_all_that_is_missing_is_named_at_once(shell: Shell) -> None:
    for command in (["check"], ["delete", "packages", "--ids-file", shell.file("a")]):
        run = shell(*command)
        assert run.code == 2
        for name in ("URL", "APP_ID", "SECRET"):
            assert f"AIONORTH_{name} is missing: set it" in run.err
        assert run.err.count("\n") == 3


def test_all_that_cannot_be_used_is_named_at_once(set_up: Shell) -> None:
    set_up.export(CALLS="many", PERIOD="0", SECRET="")
    said = problem().splitlines()
    assert said[0] == "AIONORTH_CALLS is 'many': give a whole number from 1 on"
    assert said[1] == "AIONORTH_PERIOD is '0': give a number of seconds above 0, as in 30"
    assert said[2].startswith("AIONORTH_SECRET is empty: set it")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CALLS", "0", "give a whole number from 1 on"),
        ("CALLS", "1.5", "give a whole number"),
        ("BURST", "-1", "give a whole number"),
        ("WORKERS", "x", "give a whole number"),
        ("PERIOD", "inf", "give a number of seconds above 0"),
        ("PERIOD", "nan", "give a number of seconds above 0"),
        ("TIMEOUT", "soon", "give a number of seconds above 0"),
        ("HEADROOM", "1", "give a part, from 0 up to but not including 1"),
        ("HEADROOM", "20%", "give a part"),
        ("URL", " https://x", "blanks"),
        ("APP_ID", "x\n", "blanks or a line end"),
        ("CA_FILE", "x ", "blanks"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named_in_plain_words(
    set_up: Shell, name: str, value: str, said: str
) -> None:
    set_up.export(**{name: value})
    assert f"AIONORTH_{name} is {value!r}: " in problem()
    assert said in problem()
    assert set_up("check") == Run(2, "", f"aionorth: {visible(problem())}\n")
    option = f"--{name.lower().replace('_', '-')}"
    assert problem().replace(f"AIONORTH_{name}", option) in set_up("check", option, value).err


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"APP_ID": "x" * 300}, "AIONORTH_APP_ID must be a string of 1 to 256 characters"),
        ({"APP_ID": "ä"}, "AIONORTH_APP_ID must be printable ASCII"),
        ({"CA_FILE": "none"}, "AIONORTH_CA_FILE 'none' cannot be used"),
        ({"CLIENT_CERT": "none"}, "AIONORTH_CLIENT_CERT 'none' cannot be used"),
        ({"URL": "foo"}, "AIONORTH_URL 'foo' is not an http or https URL"),
        ({"CLIENT_KEY": "x"}, "AIONORTH_CLIENT_KEY is of no use without AIONORTH_CLIENT_CERT: give both"),
        ({"REDIS_URL": "http://x"}, "AIONORTH_REDIS_URL: give a URL that begins with redis://"),
    ],
)
def test_a_variable_is_blamed_for_what_it_gave(set_up: Shell, variables: dict[str, str], said: str) -> None:
    set_up.export(STORE="", **variables)
    run = set_up("list", "packages")
    assert run.code == 2
    assert said in run.err
    assert not [name for name in variables if f"--{name.lower().replace('_', '-')}" in run.err]


def test_a_profile_is_blamed_for_what_it_gave(set_up: Shell) -> None:
    file = set_up.configure("[profiles.default]\nca_file = '/none'\n") / "config.toml"
    assert f"ca_file in profile 'default' of {file} '/none' cannot be used" in set_up("list", "packages").err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("calls = 'many'", "calls in profile 'p' of FILE is 'many': give a whole number from 1 on, without quotes"),
        ("calls = 1.5", "is 1.5: give a whole number from 1 on"),
        ("calls = true", "is True: give a whole number"),
        ("period = '60'", "is '60': give a number of seconds above 0, as in 30, without quotes"),
        ("period = nan", "is nan: give a number of seconds"),
        ("timeout = false", "is False: give a number of seconds"),
        ("headroom = 1", "is 1: give a part"),
        ("max_outage = 12", "is 12: give a number above 0 and s, min, h, d or w, as in 12h or 30min"),
        ("max_outage = '5m'", "is '5m': give a number above 0 and s, min, h, d or w"),
        ("max_outage = '0h'", "is '0h': give a number above 0 and s, min, h, d or w"),
        ("trust_env = 'yes'", "trust_env in profile 'p' of FILE is 'yes': give true or false, without quotes"),
        ("unsafe_accept_any_host_name = 1", "is 1: give true or false"),
        ("url = 5", "url in profile 'p' of FILE is 5: give text"),
        ("app_id = ''", "app_id in profile 'p' of FILE is empty: give text"),
        ("ca_file = ['x']", "is ['x']: give text"),
        ("cals = 5", "FILE, profile 'p': there is no setting 'cals'; did you mean calls?"),
        ("app-id = 'x'", "FILE, profile 'p': there is no setting 'app-id'; did you mean app_id?"),
        ("log_file = 'x'", "there is no setting 'log_file' in profiles: set the variable AIONORTH_LOG_"),
        ("log-format = 'json'", "no setting 'log-format' in profiles: set the variable AIONORTH_LOG_FORMAT"),
        ("zzz = 5", "FILE, profile 'p': there is no setting 'zzz'; there are url, app_id, secret_file"),
        ("secret = 's3cr3t-[red]hush[/]'", "secret does not belong here: put it in a file of its own"),
        ("client_key = 'x'", "client_key in profile 'p' of FILE is of no use without client_cert: give both"),
        ("url = 'http://127.0.0.1:1'\nca_file = 'x'", "ca_file in profile 'p' of FILE is of no use with http:"),
    ],
)
def test_a_key_that_cannot_be_used_is_named(shell: Shell, line: str, said: str) -> None:
    shell.export(SECRET=SECRET)
    file = shell.configure(f"[profiles.p]\n{line}\n") / "config.toml"
    assert said.replace("FILE", str(file)) in problem(Given(profile="p"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[profiles.prod", "is not valid TOML: "),
        ("[profile.prod]\n", "'profile' is not known here: settings stand in tables named [profiles.NAME]"),
        ("profiles = 3", "profiles is no table"),
        ("[profiles]\nprod = 3", "'prod' is no profile: settings stand in a table, [profiles.prod]"),
        ("[profiles.prof]\n[profiles.lab]", "has no profile 'prod': it has prof, lab; did you mean prof?"),
        (
            "\n".join(f"[profiles.p{at}]" for at in range(99)),
            "'prod': it has p0, p1, p2, p3, p4, p5, p6, p7, p8, p9 and 89 more",
        ),
        ("", "has no profile 'prod': it has none"),
        ("[profiles.prod]\nurl = '\udcff'", "is not UTF-8 text"),
    ],
)
def test_a_file_of_profiles_that_cannot_be_used_is_named(shell: Shell, content: str, said: str) -> None:
    file = shell.configure("") / "config.toml"
    file.write_bytes(content.encode(errors="surrogateescape"))
    assert said in problem(Given(profile="prod"))
    assert str(file) in problem(Given(profile="prod"))


def test_a_profile_without_a_file_says_where_to_make_one(shell: Shell) -> None:
    shell.export(PROFILE="prod")
    assert problem() == (
        f"there is no profile 'prod', for there is no {profiles.config_file()}: make it, with [profiles.prod]"
    )


@pytest.mark.usefixtures("set_up")
def test_a_file_of_profiles_that_is_a_directory_is_named() -> None:
    profiles.config_file().mkdir(parents=True)
    assert "config.toml cannot be read: Is a directory" in problem()


# --- The secret


@pytest.mark.parametrize("content", [SECRET, f"{SECRET}\n", f"{SECRET}\r\n", f"\ufeff{SECRET}\n"])
def test_the_secret_is_what_its_file_holds_less_one_line_end(set_up: Shell, content: str) -> None:
    file = str(set_up.secret_file(content))
    set_up.export(SECRET="", SECRET_FILE=file)
    assert resolve(Given()).secret.value == SECRET
    assert resolve(Given(secret_file=file)).secret.value == SECRET


def test_an_option_comes_before_the_secret_in_the_environment_and_that_before_other_files(set_up: Shell) -> None:
    file = str(set_up.secret_file("from-the-file"))
    set_up.export(SECRET_FILE=file)
    set_up.configure(f"[profiles.default]\nsecret_file = '{file}'\n")
    assert resolve(Given()).secret.value == SECRET
    assert resolve(Given(secret_file=file)).secret.value == "from-the-file"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        (f"{SECRET}\n\n", "blanks or a line end around it"),
        (f" {SECRET}", "blanks"),
        (f"{SECRET}\nother", "has several lines: it must hold the app's secret and nothing else"),
        (f"{SECRET}\r\nother", "has several lines"),
        (SECRET * 20, "must be a string of 1 to 256 characters"),
        (SECRET * 1000, "must be a string of 1 to 256 characters"),
        (SECRET.encode() + b"\xff", "is not UTF-8 text"),
        (SECRET.encode("utf-16"), "is not UTF-8 text"),
    ],
)
def test_a_file_without_a_usable_secret_is_named_and_not_shown(set_up: Shell, content: str | bytes, said: str) -> None:
    file = str(set_up.secret_file(content))
    text = problem(Given(secret_file=file))
    assert text.startswith(file)
    assert said in text


@pytest.mark.skipif(os.name != "posix", reason="needs file modes")
@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o644, 0o666, 0o640, 0o620, 0o610, 0o660])
def test_a_secret_that_others_can_reach_is_refused(set_up: Shell, mode: int) -> None:
    file = set_up.secret_file(mode=mode)
    whom = "every user" if mode & 0o7 else "its group"
    assert problem(Given(secret_file=str(file))).endswith(f"is open to {whom}: chmod 600 {shlex.quote(str(file))}")
    file.chmod(0o400)
    assert resolve(Given(secret_file=str(file))).secret.value == SECRET


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")
def test_a_secret_in_a_file_of_another_user_is_refused(set_up: Shell) -> None:
    file = set_up.secret_file()
    os.chown(file, 12345, 12345)
    reported = problem(Given(secret_file=str(file)))
    assert reported.startswith(
        f"{file} cannot be used: it belongs to another user (uid 12345); --secret-file must be a file"
    )


@pytest.mark.usefixtures("set_up")
def test_a_secret_in_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    for name in ("fifo", "."):
        assert "is not a regular file; --secret-file must be a file" in problem(Given(secret_file=str(tmp_path / name)))
    assert "cannot be read: No such file" in problem(Given(secret_file=str(tmp_path / "none")))
    assert "embedded null" in problem(Given(secret_file="a\0b"))


def test_a_secret_in_the_environment_that_cannot_be_one_is_not_shown(set_up: Shell) -> None:
    set_up.export(SECRET=f"{SECRET}\n")
    assert problem() == "AIONORTH_SECRET has blanks or a line end around it: give the secret without"
    set_up.export(SECRET=SECRET * 20)
    assert problem().startswith("AIONORTH_SECRET must be a string of 1 to 256 characters")


@pytest.mark.usefixtures("set_up")
def test_no_repr_shows_the_secret() -> None:
    assert SECRET not in repr(resolve(Given()))
    assert SECRET not in repr(resolve(Given()).session())


def test_without_a_terminal_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert not secrets.can_be_typed(stdin_is_data=False)
    assert not secrets.can_be_typed(stdin_is_data=True)


# --- Variables that are none


def test_an_unknown_variable_is_named_with_the_nearest(set_up: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    set_up.export(TIMEOUTS="7", TRUST_ENV="1", NONSENSE=SECRET, LOG_FILE="x", SECRET_FILE="", PROFILE="")
    resolve(Given())
    trust_env = "aionorth: the environment variable AIONORTH_TRUST_ENV"
    assert capsys.readouterr().err.splitlines() == [
        "aionorth: the environment variable AIONORTH_NONSENSE is not known",
        "aionorth: the environment variable AIONORTH_TIMEOUTS is not known; did you mean AIONORTH_TIMEOUT?",
        f"{trust_env} is not known; no variable switches this, but trust_env in a profile does, or as an option",
    ]


# --- The shell's completion


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("delete subscriptions --notify-type deviceA", {"deviceAdded"}),
        ("delete packages --file-type f", {"firmwarePackage"}),
        ("delete devices --status O", {"ONLINE", "OFFLINE"}),
        ("list devices --node-type G", {"GATEWAY"}),
        ("check --store m", {"machine", "memory"}),
        ("check --log-format ", {"text", "json"}),
        ("simulate --model small", {"small-burst"}),
        ("check --profile p", {"prod"}),
    ],
)
def test_values_are_completed(set_up: Shell, monkeypatch: pytest.MonkeyPatch, line: str, values: set[str]) -> None:
    set_up.configure("[profiles.prod]\n[profiles.test]\n")
    monkeypatch.setenv("_AIONORTH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"aionorth {line}")
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" "))))
    assert set(set_up().out.split()) == values


def completion(instruction: str, **variables: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", "from aionorth.cli import main; main()"],
        env={**os.environ, "_AIONORTH_COMPLETE": instruction, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("set_up")
def test_a_script_completes_the_command_line_in_bash(tmp_path: Path) -> None:
    script = completion("source_bash")
    assert "complete -o default -F _aionorth_completion aionorth" in script
    (tmp_path / "complete.bash").write_text(script)
    subprocess.run(["bash", "-n", str(tmp_path / "complete.bash")], check=True)


@pytest.mark.slow
def test_commands_and_profiles_are_completed(set_up: Shell) -> None:
    set_up.configure("[profiles.lab]\n[profiles.lima]\n[profiles.prod]\n")
    assert completion("complete_bash", COMP_WORDS="aionorth ch", COMP_CWORD="1").split() == ["check"]
    words = "aionorth check --profile l"
    assert completion("complete_bash", COMP_WORDS=words, COMP_CWORD="3").split() == ["lab", "lima"]
    set_up.configure("[profiles")
    assert completion("complete_bash", COMP_WORDS=words, COMP_CWORD="3").split() == []


def test_the_command_line_offers_its_completion(shell: Shell) -> None:
    assert "--show-completion" in shell("--help").out


@pytest.mark.skipif(os.name != "posix", reason="files have modes on POSIX systems")
def test_profiles_that_others_can_write_to_are_not_trusted(set_up: Shell) -> None:
    set_up.configure("[profiles.default]\nurl = 'https://elsewhere:8743'\n")
    profiles.config_file().chmod(0o666)
    assert "is not to be trusted: other users can write to it: chmod go-w" in problem()


@pytest.mark.skipif(os.name != "posix", reason="files have owners on POSIX systems")
def test_profiles_of_another_user_are_not_trusted(set_up: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up.configure("[profiles.default]\nurl = 'https://elsewhere:8743'\n")
    uid = os.geteuid()
    monkeypatch.setattr("os.geteuid", lambda: uid + 1)
    assert f"it belongs to another user (uid {uid}); have one of your own, for which XDG_CONFIG_HOME" in problem()
