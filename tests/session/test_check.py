"""What `NorthSession.check` and the command `check` find out."""

import asyncio
import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from shell import APP as SHELL_APP
from shell import SECRET as SHELL_SECRET
from shell import UNREACHABLE, Shell, served
from support import APP, SECRET, session, shown

import aionorth
from aionorth import Checkup, Verdict
from aionorth.session.checkup import Stage, judged
from aionorth.simulator import CannedReply, CutBody, Delay, HtmlPage, Reset, ServerError, Simulator

LOGIN = "/login"
LIST = "/category"


def verdicts(checkup: Checkup) -> list[str]:
    """Of URL, TLS, credentials and clock, in this order."""
    return [finding.verdict.value for finding in checkup.findings.values()]


def paths(platform: Simulator) -> list[str]:
    return [arrival.path.partition("?")[0].rpartition("/")[2] for arrival in platform.arrivals]


async def checked(platform: Simulator, **options: Any) -> Checkup:
    async with session(platform, **options) as north:
        return await north.check()


# --- All is well


async def test_two_calls_show_that_all_is_well() -> None:
    async with Simulator() as platform:
        async with session(platform) as north:
            checkup = await north.check()
            assert north.flow.in_use == 2
        assert checkup.ok
        assert verdicts(checkup) == ["ok", "not used", "ok", "ok"]
        assert checkup.tls.words == "secret and tokens travel in the clear"
        assert checkup.difference is not None
        assert abs(checkup.difference) < 10
        assert paths(platform) == ["login", "category"]


async def test_the_token_of_the_check_serves_the_session() -> None:
    async with Simulator() as platform, session(platform) as north:
        await north.check()
        await north.delete_subscription("one", missing_ok=True)
        assert (await north.check()).credentials.words == "the access token is accepted"
        assert paths(platform) == ["login", "category", "one", "category"]


async def test_a_token_of_ones_own_is_tested_without_a_login() -> None:
    async with Simulator() as platform:
        assert (await checked(platform, token=platform.issue_token())).ok
        refused = await checked(platform, token="another")
        assert verdicts(refused) == ["ok", "not used", "failed", "ok"]
        assert "Check the app_id, and that the access token" in refused.credentials.words
        assert paths(platform) == ["category", "category"]


async def test_a_token_that_another_login_made_invalid_is_told_and_renewed() -> None:
    async with Simulator() as platform, session(platform) as north:
        await north.check()
        platform.evict()
        checkup = await north.check()
        assert checkup.ok
        assert checkup.credentials.verdict is Verdict.WARNING
        assert "the one before it was refused: has another client logged in" in checkup.credentials.words
        assert (await north.check()).credentials.words == "the access token is accepted"
        assert paths(platform) == ["login", "category", "category", "login", "category", "category"]


async def test_a_token_from_a_store_that_another_login_made_invalid_is_renewed_there(tmp_path: Path) -> None:
    async with Simulator() as platform:
        store = aionorth.MachineStore(tmp_path)
        for evicted, verdict in [(False, Verdict.OK), (True, Verdict.WARNING), (False, Verdict.OK)]:
            if evicted:
                platform.evict()
            assert (await checked(platform, secret=SECRET, store=store)).credentials.verdict is verdict
        assert paths(platform) == ["login", "category", "category", "login", "category", "category"]


async def test_a_login_that_fails_for_a_while_leaves_the_token_before_it_in_use() -> None:
    async with Simulator() as platform, session(platform) as north:
        await north.check()
        await asyncio.sleep(0.9 * 3600)
        platform.script(ServerError(), path=LOGIN)
        checkup = await north.check()
        assert checkup.credentials.words == "the access token is accepted"
        assert paths(platform) == ["login", "category", "login", "category"]


async def test_an_app_without_packages_or_with_many_subscriptions_is_well() -> None:
    async with Simulator() as platform:
        platform.add_subscriptions(1001)
        assert (await checked(platform)).ok


# --- What is wrong


async def test_nobody_listening_fails_the_url() -> None:
    async with Simulator() as platform:
        url = platform.url
    async with aionorth.NorthSession(url, app_id=APP, secret=SECRET) as north:
        checkup = await north.check()
    assert verdicts(checkup) == ["failed", "not used", "not tested", "not tested"]
    assert "check the URL and the network" in checkup.url.words
    assert not checkup.ok


@pytest.mark.parametrize(
    "fault",
    [
        *map(HtmlPage, [404, 200, 502, 403]),
        CannedReply(404),
        CannedReply(200, b"{}"),
        CannedReply(302, headers=(("Location", "/elsewhere"),)),
        CutBody(),
        Delay(100.0),
        Reset(),
    ],
)
async def test_what_the_platform_does_not_answer_fails_the_url(fault: Any) -> None:
    async with Simulator() as platform:
        platform.script(fault, path=LOGIN)
        checkup = await checked(platform)
        assert verdicts(checkup) == ["failed", "not used", "not tested", "not tested"]
        remedies = sum(
            words in checkup.url.words for words in ("check", "is it https? Then begin the URL with https://")
        )
        assert remedies == 1
        assert paths(platform) == ["login"]


async def test_a_path_too_many_in_the_url_is_found() -> None:
    async with Simulator() as platform:
        async with aionorth.NorthSession(f"{platform.url}/api", app_id=APP, secret=SECRET) as north:
            checkup = await north.check()
    assert verdicts(checkup)[0] == "failed"
    assert "HTTP 404" in checkup.url.words
    assert "check host, port and path" in checkup.url.words


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (401, "100208", "Check the app_id and the secret"),
        (400, "100203", "Check the app_id"),
        (400, "100247", "unfreeze"),
        (400, "100449", "100449"),
        (401, None, "not in the platform's words"),
    ],
)
async def test_credentials_that_are_refused_are_named_with_the_remedy(status: int, code: str | None, said: str) -> None:
    body = b"" if code is None else json.dumps({"error_code": code, "error_desc": "no"}).encode()
    async with Simulator() as platform:
        platform.script(CannedReply(status, body), path=LOGIN)
        checkup = await checked(platform)
        assert verdicts(checkup) == ["ok", "not used", "failed", "ok"]
        assert said in checkup.credentials.words
        assert paths(platform) == ["login"]


async def test_a_token_refused_at_once_tells_of_another_client() -> None:
    async with Simulator() as platform:
        platform.script(CannedReply(403, b'{"error_code": "1010005"}'), path=LIST, times=2)
        checkup = await checked(platform)
        assert verdicts(checkup) == ["ok", "not used", "failed", "ok"]
        assert "refused at once: is another client logging in with this app_id?" in checkup.credentials.words
        assert paths(platform) == ["login", "category"]


@pytest.mark.parametrize("used", [1, 2])
async def test_flow_control_that_refuses_is_not_waited_for(used: int) -> None:
    async with Simulator(calls=2) as platform:
        async with session(platform, token=platform.issue_token()) as other:
            for _ in range(3 - used):
                await other.delete_subscription("x", missing_ok=True)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        async with aionorth.NorthSession(
            platform.url.replace("127.0.0.1", "localhost"), app_id=APP, secret=SECRET
        ) as north:
            checkup = await north.check()
        assert loop.time() - begun < 1
        assert verdicts(checkup) == ["ok", "not used", "not tested", "ok"]
        assert "wait a minute" in checkup.credentials.words
        assert checkup.credentials.words.startswith("logged in, but ") == (used == 2)
        assert not checkup.ok


@pytest.mark.parametrize("where", [LOGIN, LIST])
async def test_a_platform_in_trouble_is_tried_once(where: str) -> None:
    async with Simulator() as platform:
        platform.script(ServerError(), path=where)
        checkup = await checked(platform)
        assert verdicts(checkup) == ["ok", "not used", "not tested", "ok"]
        assert "check again later" in checkup.credentials.words
        assert not checkup.ok
        assert len(platform.arrivals) == 1 + (where == LIST)


async def test_a_connection_lost_after_the_login_does_not_undo_it() -> None:
    async with Simulator() as platform:
        platform.script(Reset(), path=LIST)
        checkup = await checked(platform)
        assert verdicts(checkup) == ["failed", "not used", "not tested", "not tested"]
        assert checkup.credentials.words.startswith("logged in")


async def test_the_session_goes_on_after_a_check_that_failed() -> None:
    async with Simulator() as platform, session(platform) as north:
        platform.script(CannedReply(401, b'{"error_code": "100208"}'), path=LOGIN)
        assert not (await north.check()).ok
        assert (await north.check()).ok


@pytest.mark.parametrize("where", [LOGIN, LIST])
async def test_what_is_found_shows_no_secret(where: str) -> None:
    async with Simulator({APP: "s3cret-of-the-app"}) as platform:
        for fault in (Reset(), HtmlPage(404), CannedReply(403, b'{"error_code": "1010005"}'), CutBody()):
            platform.expire_tokens()
            platform.script(fault, path=where)
            if where == LIST and isinstance(fault, CannedReply):  # the first is met with a token of before
                platform.script(fault, path=where)
            checkup = await checked(platform, secret="s3cret-of-the-app")
            assert checkup.error is not None
            assert "s3cret" not in shown(checkup.error) + repr(checkup) + str(checkup.to_dict())


async def test_a_closed_session_cannot_be_checked() -> None:
    async with Simulator() as platform:
        with pytest.raises(aionorth.SessionStateError):
            await session(platform).check()


# --- TLS


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(ca: trustme.CA, tmp_path: Path) -> Path:
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


def tls(ca: trustme.CA, name: str = "127.0.0.1", **options: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(name, **options).configure_cert(context)
    return context


async def test_a_good_certificate_is_well(ca: trustme.CA, ca_file: Path) -> None:
    async with Simulator(tls=tls(ca)) as platform:
        assert verdicts(await checked(platform, ca_file=ca_file)) == ["ok"] * 4


async def test_a_host_that_is_not_verified_is_a_warning(ca: trustme.CA, ca_file: Path) -> None:
    async with Simulator(tls=tls(ca, "elsewhere.example")) as platform:
        checkup = await checked(platform, ca_file=ca_file, unsafe_accept_any_host_name=True)
    assert verdicts(checkup) == ["ok", "warning", "ok", "ok"]
    assert "may be that of another host: for commissioning only" in checkup.tls.words
    assert checkup.ok


async def test_a_refused_certificate_fails_tls_and_sends_no_secret(ca: trustme.CA, ca_file: Path) -> None:
    async with Simulator(tls=tls(ca)) as platform:
        checkup = await checked(platform)
        assert verdicts(checkup) == ["not tested", "failed", "not tested", "not tested"]
        assert "give its CA as ca_file" in checkup.tls.words
        assert not platform.arrivals
    other = ca_file.with_name("other.pem")
    trustme.CA().cert_pem.write_to_path(other)
    async with Simulator(tls=tls(ca)) as platform:
        words = (await checked(platform, ca_file=other)).tls.words
        assert f"it is not from the CA in {str(other)!r}; give its CA as ca_file" in words
    async with Simulator(tls=tls(ca, "elsewhere.example")) as platform:
        assert "for another host name" in (await checked(platform, ca_file=ca_file)).tls.words


async def test_an_expired_certificate_may_be_the_clocks_fault(ca: trustme.CA, ca_file: Path) -> None:
    async with Simulator(tls=tls(ca, not_after=datetime(2020, 1, 1, tzinfo=UTC))) as platform:
        checkup = await checked(platform, ca_file=ca_file)
    assert "expired" in checkup.tls.words
    assert "or set this machine's clock" in checkup.tls.words


async def test_a_client_certificate_that_lacks_fails_tls(ca: trustme.CA, ca_file: Path) -> None:
    context = tls(ca)
    ca.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    async with Simulator(tls=context) as platform:
        checkup = await checked(platform, ca_file=ca_file)
    assert verdicts(checkup) == ["not tested", "failed", "not tested", "not tested"]
    assert "client_cert" in checkup.tls.words


async def test_plain_http_behind_an_https_url_fails_tls() -> None:
    async with Simulator() as platform:
        url = platform.url.replace("http:", "https:")
        async with aionorth.NorthSession(url, app_id=APP, secret=SECRET) as north:
            assert "does it speak plain http?" in (await north.check()).tls.words


def test_a_host_that_does_not_exist_fails_the_url() -> None:
    error = aionorth.HostNotFoundError("no such host: x; check the base URL")
    checkup = judged(error, stage=Stage.LOGIN, https=True, reached=False, difference=None)
    assert verdicts(checkup) == ["failed", "not tested", "not tested", "not tested"]
    assert checkup.url.words == "no such host: x; check the base URL"  # and the remedy once


# --- The clock


def dated(date: str) -> CannedReply:
    return CannedReply(200, b'{"accessToken": "t"}', headers=(("Date", date),))


@pytest.mark.parametrize(
    ("off", "verdict", "said"),
    [
        (-303.5, Verdict.WARNING, "this machine's clock is 5 min 4 s behind the platform's: --older-than"),
        (303.5, Verdict.WARNING, "this machine's clock is 5 min 4 s ahead of the platform's"),
        (86400.0, Verdict.WARNING, "24 h 0 min ahead"),
        (61.0, Verdict.WARNING, "1 min 1 s ahead"),
        (60.0, Verdict.OK, "within a minute"),
        (-59.0, Verdict.OK, "within a minute"),
        (None, Verdict.NOT_TESTED, "the platform does not say"),
    ],
)
def test_a_clock_that_differs_by_more_than_a_minute_is_a_warning(
    off: float | None, verdict: Verdict, said: str
) -> None:
    checkup = judged(None, stage=Stage.FRESH_TOKEN, https=True, reached=True, difference=off)
    assert checkup.clock.verdict is verdict
    assert said in checkup.clock.words
    assert checkup.ok


async def test_the_platforms_clock_is_that_of_its_latest_reply() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    async with Simulator() as platform:
        platform.script(CannedReply(200, b"{}", headers=(("Date", date),)), path=LIST)
        checkup = await checked(platform)
        assert checkup.difference == pytest.approx(-3600, abs=30)
        assert "behind" in checkup.clock.words
    async with Simulator() as platform:
        platform.script(CannedReply(401, b'{"error_code": "100208"}', headers=(("Date", date),)), path=LOGIN)
        assert (await checked(platform)).clock.verdict is Verdict.WARNING


@pytest.mark.parametrize("date", ["yesterday", "Mon, 99 Foo 2020 00:00:00 GMT", "", "Thu, 01 Jan 99999 00:00:00 GMT"])
async def test_a_date_that_cannot_be_read_is_none(date: str) -> None:
    async with Simulator() as platform:
        platform.script(dated(date), path=LOGIN)
        platform.script(CannedReply(200, b"{}", headers=(("Date", date),)), path=LIST)
        checkup = await checked(platform)
        assert checkup.clock.verdict is Verdict.NOT_TESTED
        assert checkup.ok


async def test_a_platform_that_sends_no_date_does_not_say() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            if b"POST" in head:
                await reader.readuntil(b"secret")
                await reader.read(100)
            body = b'{"accessToken": "t"}'
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with aionorth.NorthSession(url, app_id=APP, secret=SECRET) as north:
        checkup = await north.check()
    server.close()
    assert checkup.clock.words == "the platform does not say"
    assert checkup.ok


# --- The value, and the command


def test_a_checkup_is_json_and_text() -> None:
    error = aionorth.CredentialsError(401, "100208", "no")
    checkup = judged(error, stage=Stage.LOGIN, https=True, reached=True, difference=-90.0)
    story = json.loads(json.dumps(checkup.to_dict()))
    assert story["findings"]["credentials"]["verdict"] == "failed"
    assert story["findings"]["url"] == {"verdict": "ok", "words": "the platform answers"}
    assert story["error"]["code"] == "100208"
    assert (story["ok"], story["clock_difference"]) == (False, -90.0)
    assert "credentials  failed      HTTP 401, code 100208" in str(checkup)


def test_what_is_not_encrypted_is_said_once(shell: Shell, platform: Simulator) -> None:
    shell.point_at(platform)
    run = shell("check", "--url", platform.url.replace("127.0.0.1", "0.0.0.0"))
    assert (run.code, run.err) == (0, "")
    assert run.out.count("in the clear") == 1


def test_the_command_has_a_line_for_each_thing(shell: Shell, platform: Simulator) -> None:
    shell.point_at(platform)
    run = shell("check")
    assert (run.code, run.err) == (0, "")
    assert run.out.splitlines() == [
        f"{SHELL_APP} at {platform.url}",
        "URL          ok          the platform answers",
        "TLS          not used    secret and tokens travel in the clear",
        "credentials  ok          logged in, and the access token is accepted",
        "clock        ok          within a minute of the platform's",
    ]


@pytest.mark.slow
def test_a_command_that_waits_for_flow_control_says_so(shell: Shell, platform: Simulator) -> None:
    shell.point_at(platform)
    run = shell("check", "--calls", "1", "--period", "3")
    assert run.code == 0
    assert run.err.count("aionorth: waiting for flow control, which others of this app use too: 1 of 1 calls used") == 1


def test_the_command_in_json(shell: Shell, platform: Simulator) -> None:
    shell.point_at(platform)
    run = shell("check", "--json")
    assert run.out.count("\n") == 1
    assert run.json | {"url": platform.url, "app_id": SHELL_APP, "ok": True, "exit_code": 0} == run.json


def script(fault: Any) -> Callable[[Simulator], None]:
    return lambda platform: platform.script(fault, path=LOGIN)


@pytest.mark.parametrize(
    ("prepare", "code", "said"),
    [
        (script(CannedReply(401, b'{"error_code": "100208", "error_desc": "\x1b[2J"}')), 3, "credentials  FAILED"),
        (script(CannedReply(400, b'{"error_code": "100247"}')), 3, "credentials  FAILED"),
        (script(HtmlPage(404)), 1, "URL          FAILED"),
        (script(ServerError()), 1, "credentials  not tested  the platform is in trouble"),
        (script(CannedReply(403, b'{"error_code": "1010009"}')), 1, "credentials  not tested  flow control refuses"),
    ],
)
def test_the_exit_code_tells_what_kind_of_thing_is_wrong(
    shell: Shell, prepare: Callable[[Simulator], None], code: int, said: str
) -> None:
    with served() as platform:
        shell.point_at(platform)
        prepare(platform)
        run = shell("check")
        assert run.code == code
        assert said in run.out
        assert "\x1b" not in run.out + run.err
        prepare(platform)
        assert shell("check", "--json").json["exit_code"] == code


def test_a_platform_out_of_reach_is_exit_code_1(shell: Shell) -> None:
    shell.export(URL=UNREACHABLE, APP_ID=SHELL_APP, SECRET=SHELL_SECRET)
    run = shell("check")
    assert run.code == 1
    assert "URL          FAILED      cannot connect to 127.0.0.1:1: Connection refused" in run.out


@pytest.mark.parametrize(("option", "value"), [("--period", "0"), ("--calls", "many"), ("--url", "ftp://x")])
def test_settings_that_cannot_be_used_are_exit_code_2(ready: Shell, option: str, value: str) -> None:
    assert ready("check", option, value).code == 2


def test_help_warns_of_the_login(shell: Shell) -> None:
    assert "makes invalid the token of any other user of the app without this store" in " ".join(
        shell("check", "--help").out.split()
    )
