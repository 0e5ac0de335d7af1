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
from aionorth import api
from aionorth.api import Reply
from aionorth.errors import CODES, NorthApiError

SUBSCRIPTIONS = "/iocm/app/sub/v1.2.0/subscriptions/"
PACKAGES = "/iodm/northbound/v1.5.0/category/"

ids = st.text(min_size=1, max_size=256).filter(
    lambda id_: not set(posixpath.normpath(id_)) <= set("./") and id_ == id_.strip() and id_.isprintable()
)


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


@pytest.mark.parametrize(
    "id_", ["", ".", "..", "/", "./", "x/..", "../..", "x" * 257, "\ud800", "a\n", " a", "a\x00b", None, 5, b"sub-1"]
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
