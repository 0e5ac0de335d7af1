import json
import pickle
import posixpath
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

import aionorth
from aionorth.errors import CODES, NorthApiError
from aionorth.wire import replies as api
from aionorth.wire.replies import Reply

SUBSCRIPTIONS = "/iocm/app/sub/v1.2.0/subscriptions/"
PACKAGES = "/iodm/northbound/v1.5.0/category/"

parts = st.sampled_from(
    [".", "..", "/", "\\", "%2e", "%2F", "%252f", "%5c", ";", "?", "#", "x", "\uff05", "\uff0e", "\u2025", "%c0%ae"]
)
paths = st.lists(parts, min_size=1, max_size=8).map("".join)


def accepted(id_: str) -> bool:
    return api.id_fault(id_) is None


ids = st.text(min_size=1, max_size=256).filter(accepted)
"""Whatever is not refused; which that is, the tests below say."""


def tidied(path: str, decodings: int, *, backslashes: bool, parameters: bool) -> list[str]:
    """Return the segments to which a proxy tidies up a path that it decodes so many times."""
    for _ in range(decodings):
        path = unquote(path)
    path = path.replace("\\", "/") if backslashes else path
    segments = [segment.partition(";")[0] if parameters else segment for segment in path.split("/")]
    return posixpath.normpath("/".join(segments)).split("/")


# --- Requests


def test_the_two_delete_calls_are_those_of_the_documents() -> None:
    request = api.delete_subscription("sub-1")
    assert (request.method, request.target) == ("DELETE", "/iocm/app/sub/v1.2.0/subscriptions/sub-1")
    request = api.delete_upgrade_package("file-1")
    assert (request.method, request.target) == ("DELETE", "/iodm/northbound/v1.5.0/category/file-1")
    assert request.body is None


def test_the_app_id_of_another_app_goes_into_the_query_and_nothing_else_does() -> None:
    request = api.delete_subscription("sub-1", "other&app=1")
    assert request.target == "/iocm/app/sub/v1.2.0/subscriptions/sub-1?appId=other%26app%3D1"
    assert "?" not in api.delete_subscription("sub-1").target


@given(ids)
def test_any_id_stays_one_segment_of_the_path(id_: str) -> None:
    for prefix, request in (
        (SUBSCRIPTIONS, api.delete_subscription(id_, "app")),
        (PACKAGES, api.delete_upgrade_package(id_)),
    ):
        parts = urlsplit("https://server:8743" + request.target)
        assert parts.path.startswith(prefix)
        segment = parts.path.removeprefix(prefix)
        assert unquote(segment) == id_
        assert segment.isascii()
        assert not set(segment) & set("/?#\\ ")
        assert ".." not in segment
        assert parse_qs(parts.query) == ({"appId": ["app"]} if prefix == SUBSCRIPTIONS else {})
        assert not parts.fragment


@given(st.one_of(ids, paths.filter(accepted)))
def test_no_proxy_that_tidies_paths_finds_another_way_in_an_id(id_: str) -> None:
    target = api.delete_subscription(id_).target
    for decodings in range(5):
        for backslashes in (False, True):
            for parameters in (False, True):
                segments = tidied(target, decodings, backslashes=backslashes, parameters=parameters)
                assert segments[:6] == SUBSCRIPTIONS.rstrip("/").split("/")
                whole = unquote(target) if decodings else target
                for _ in range(decodings - 1):
                    whole = unquote(whole)
                whole = whole.replace("\\", "/") if backslashes else whole
                assert len(segments) == len(whole.split("/"))


STEPS = [
    *("x/../../subscriptions", "x/../y", "./y", "y/.", "..", ".", "/", "//", "/y", "y/", "x//y", "../..", "x/.."),
    *("x\\..\\y", "..\\y", "y\\.", "\\y", "x\\/y", "..;/y", "x/..;a=b/y", "x/.;/y", ";a=b", "x/;a/y", ".;", "x/.. /y"),
    *("%2e%2e", "%2E", "x%2f..%2fy", "x%2F%2E%2e%2fy", "%252e%252e", "x%25252f..%25252fy", "x%5c..%5cy", "..%3b/y"),
    *(
        "%%32%65%2e",
        "x%2f%2fy",
        "..%00",
        "..%3Fa",
        "..%23",
        "\uff0e\uff0e",
        "x\uff0f..\uff0fy",
        "\u2025",
        "x\uff3c..\uff3cy",
        "%ef%bc%8e",
        "%c0%ae%c0%ae",
    ),
    *("x/%e2%80%a5/y", "..%20", "..?x", "x/..#y"),
]


@pytest.mark.parametrize("id_", STEPS)
def test_an_id_with_a_step_of_a_path_is_refused(id_: str) -> None:
    with pytest.raises(aionorth.InvalidIdError, match="step of a path"):
        api.delete_upgrade_package(id_)


@pytest.mark.parametrize(
    "id_", ["a/b", "a.b", "...", "a..b", "a/b.c/..d", "100%", "a?b#c", "%76ictim", "a%20b", ".hidden"]
)
def test_an_id_without_a_step_is_not(id_: str) -> None:
    assert unquote(api.delete_upgrade_package(id_).target.removeprefix(PACKAGES)) == id_


@pytest.mark.parametrize("id_", ["x;y", "x;a=b", "x%3By", "x%253By", "x\uff1by", "a/b;c"])
def test_an_id_that_some_servers_would_end_sooner_is_refused(id_: str) -> None:
    with pytest.raises(aionorth.InvalidIdError, match="has a ';' in it"):
        api.delete_subscription(id_)


@pytest.mark.parametrize(
    "id_",
    [
        *('"sub-1"', "'sub-1'", "`sub-1`", "\u201csub-1\u201d", "«sub-1»", '"sub-1', 'sub-1"', "{sub-1}", "[sub-1]"),
        *('{"id": "sub-1"}', '["sub-1"', "sub-1]", '"', "{"),
    ],
)
def test_an_id_in_quotes_or_braces_is_refused(id_: str) -> None:
    with pytest.raises(aionorth.InvalidIdError, match="in quotes or braces: give the id without them"):
        api.delete_subscription(id_)


@pytest.mark.parametrize(
    "id_",
    [
        "",
        ".",
        "..",
        "/",
        "./",
        "x/..",
        "../..",
        "x" * 257,
        "\ud800",
        "a\n",
        " a",
        "a\x00b",
        None,
        5,
        b"sub-1",
        "a\ufffd",
    ],
)
def test_what_cannot_be_an_id_is_refused(id_: Any) -> None:
    for build in (api.delete_subscription, api.delete_upgrade_package):
        with pytest.raises(aionorth.InvalidIdError, match="_id "):
            build(id_)


def test_an_id_of_256_characters_is_not_too_long() -> None:
    assert api.delete_subscription("x" * 256).target.endswith("x" * 256)


def test_login_is_a_form_and_refresh_is_json() -> None:
    login = api.login("app 1", "s&cret")
    assert (login.method, login.target) == ("POST", "/iocm/app/sec/v1.1.0/login")
    assert login.content_type == "application/x-www-form-urlencoded"
    assert parse_qs((login.body or b"").decode()) == {"appId": ["app 1"], "secret": ["s&cret"]}
    refresh = api.refresh_token("app", "secret", "token")
    assert (refresh.method, refresh.target) == ("POST", "/iocm/app/sec/v1.1.0/refreshToken")
    assert refresh.content_type == "application/json"
    assert json.loads(refresh.body or b"") == {"appId": "app", "secret": "secret", "refreshToken": "token"}


# --- Replies


def reply(status: int, body: object = b"", **more: Any) -> Reply:
    return Reply(status, body if isinstance(body, bytes) else json.dumps(body).encode(), **more)


def error(code: object, description: str = "Said so.") -> dict[str, object]:
    return {"error_code": code, "error_desc": description}


@pytest.mark.parametrize("answer", [reply(204), reply(200), reply(200, {}), reply(200, {"result": "ok"})])
def test_a_200_or_204_without_a_code_is_a_success(answer: Reply) -> None:
    assert api.read_error(answer) is None


@pytest.mark.parametrize("status", [200, 204, 400, 401, 403, 404, 500, 503])
@pytest.mark.parametrize("code", CODES)
def test_a_code_decides_whatever_the_status(code: str, status: int) -> None:
    read = api.read_error(reply(status, error(code)))
    assert type(read) is CODES[code]
    assert isinstance(read, NorthApiError)
    assert (read.status, read.code, read.description) == (status, code, "Said so.")


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("120015", "fileId"),
        ("1010009", "threshold"),
        ("1010005", "access token"),
        ("100217", "authorized_app_id"),
        ("100225", "subscriptionId"),
        ("123002", "fileId"),
    ],
)
def test_every_error_of_the_two_calls_says_what_the_documents_recommend(code: str, remedy: str) -> None:
    read = api.read_error(reply(403, error(code)))
    assert remedy in str(read)
    assert code in str(read)


def test_an_unknown_code_is_the_root_of_the_api_errors() -> None:
    read = api.read_error(reply(400, error("987654")))
    assert type(read) is NorthApiError
    assert read.code == "987654"
    assert type(api.read_error(reply(500, error("100220")))) is aionorth.ServerError
    assert getattr(api.read_error(reply(200, error(100225))), "code", None) == "100225"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(404), aionorth.NotFoundError),
        (reply(401), aionorth.InvalidTokenError),
        (reply(500), aionorth.ServerError),
        (reply(503, b"<html>busy</html>"), aionorth.ServerError),
        (reply(502, b"<html>bad gateway</html>"), aionorth.GatewayError),
        (reply(504), aionorth.GatewayError),
        (reply(404, b"<html>no such page</html>"), NorthApiError),
        (reply(404, {"status": 404, "error": "Not Found"}), NorthApiError),
        (reply(302), NorthApiError),
        (reply(418, b"\xff\xfe"), NorthApiError),
        (reply(403, b'{"error_code": "10100'), NorthApiError),
        (reply(202), aionorth.GatewayError),
        (reply(408), aionorth.GatewayError),
        (reply(429), aionorth.FlowControlError),
    ],
)
def test_without_a_code_the_status_decides_and_a_page_is_not_believed(answer: Reply, kind: type) -> None:
    assert type(api.read_error(answer)) is kind


@pytest.mark.parametrize(
    "body", [b"<html>sign in</html>", b'{"error_code": "10', b"ok", b"[" * 100_000, b"null", b"\xff"]
)
def test_a_success_whose_body_is_not_the_platforms_is_a_lost_reply(body: bytes) -> None:
    read = api.read_error(reply(200, body))
    assert isinstance(read, aionorth.ReplyLostError)
    assert read.retryable


def test_a_page_is_described_and_never_quoted() -> None:
    read = api.read_error(reply(502, b"<html>Authorization: Bearer t0ken</html>", content_type="text/html"))
    assert "text/html" in str(read)
    assert "t0ken" not in str(read)


NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("1700000000", 3600.0),
        ("Mon, 01 Jan 2020 00:00:00 +999999999999999999999", None),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("nan", None),
        ("", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header: str, seconds: float | None) -> None:
    read = api.read_error(reply(403, error("1010009"), retry_after=header), NOW)
    assert read is not None
    assert read.retry_after == seconds


@pytest.mark.parametrize("expires", [1800, "1800", 1800.0])
def test_a_token_lives_as_long_as_the_reply_says_number_or_string(expires: object) -> None:
    token = api.read_token(reply(200, {"accessToken": "a", "refreshToken": "r", "expiresIn": expires}))
    assert (token.access, token.refresh, token.lifetime) == ("a", "r", 1800.0)


@pytest.mark.parametrize("expires", [None, "soon", 0, -5, [], "inf", 10**400])
def test_a_token_without_a_usable_lifetime_is_given_that_of_the_documents(expires: object) -> None:
    token = api.read_token(reply(200, {"accessToken": "a", "expiresIn": expires}))
    assert (token.refresh, token.lifetime) == (None, 3600.0)


@pytest.mark.parametrize(
    "body", [{}, {"accessToken": ""}, {"accessToken": 5}, {"accessToken": "a\r\nb: c"}, [], b"<html>"]
)
def test_a_login_reply_without_a_usable_token_is_an_error(body: object) -> None:
    with pytest.raises(NorthApiError, match="accessToken"):
        api.read_token(reply(200, body))


def test_errors_survive_being_sent_to_another_process() -> None:
    for read in (
        api.read_error(reply(403, error("1010009"), retry_after="7")),
        aionorth.ReplyLostError("gone"),
        aionorth.BulkFailedError("some failed", aionorth.DeleteSummary(total=1, failed=1)),
    ):
        copy = pickle.loads(pickle.dumps(read))
        assert type(copy) is type(read)
        assert str(copy) == str(read)
        assert copy.__dict__ == (read.__dict__ if read else None)
