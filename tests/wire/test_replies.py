"""What a reply means: a success, which error, a token."""

import json
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

import aionorth
from aionorth.errors import NorthApiError
from aionorth.wire.replies import Reply, read_error, read_token
from aionorth.wire.resources import CODES


def reply(status: int, body: object = b"", **more: Any) -> Reply:
    return Reply(status, body if isinstance(body, bytes) else json.dumps(body).encode(), **more)


def error(code: object, description: str = "Said so.") -> dict[str, object]:
    return {"error_code": code, "error_desc": description}


@pytest.mark.parametrize("answer", [reply(204), reply(200), reply(200, {}), reply(200, {"result": "ok"})])
def test_a_200_or_204_without_a_code_is_a_success(answer: Reply) -> None:
    assert read_error(answer) is None


@pytest.mark.parametrize("status", [200, 204, 400, 401, 403, 404, 500, 503])
@pytest.mark.parametrize("code", CODES)
def test_a_code_decides_whatever_the_status(code: str, status: int) -> None:
    read = read_error(reply(status, error(code)))
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
    read = read_error(reply(403, error(code)))
    assert remedy in str(read)
    assert code in str(read)


def test_an_unknown_code_is_the_root_of_the_api_errors() -> None:
    read = read_error(reply(400, error("987654")))
    assert type(read) is NorthApiError
    assert read.code == "987654"
    assert type(read_error(reply(500, error("100220")))) is aionorth.ServerError
    assert getattr(read_error(reply(200, error(100225))), "code", None) == "100225"


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
    assert type(read_error(answer)) is kind


@pytest.mark.parametrize(
    "body", [b"<html>sign in</html>", b'{"error_code": "10', b"ok", b"[" * 100_000, b"null", b"\xff"]
)
def test_a_success_whose_body_is_not_the_platforms_is_a_lost_reply(body: bytes) -> None:
    read = read_error(reply(200, body))
    assert isinstance(read, aionorth.ReplyLostError)
    assert read.retryable


def test_a_page_is_described_and_never_quoted() -> None:
    read = read_error(reply(502, b"<html>Authorization: Bearer t0ken</html>", content_type="text/html"))
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
    read = read_error(reply(403, error("1010009"), retry_after=header), now=NOW)
    assert read is not None
    assert read.retry_after == seconds


@pytest.mark.parametrize("expires", [1800, "1800", 1800.0])
def test_a_token_lives_as_long_as_the_reply_says_number_or_string(expires: object) -> None:
    token = read_token(reply(200, {"accessToken": "a", "refreshToken": "r", "expiresIn": expires}))
    assert (token.access, token.refresh, token.lifetime) == ("a", "r", 1800.0)


@pytest.mark.parametrize("expires", [None, "soon", 0, -5, [], "inf", 10**400])
def test_a_token_without_a_usable_lifetime_is_given_that_of_the_documents(expires: object) -> None:
    token = read_token(reply(200, {"accessToken": "a", "expiresIn": expires}))
    assert (token.refresh, token.lifetime) == (None, 3600.0)


@pytest.mark.parametrize(
    "body", [{}, {"accessToken": ""}, {"accessToken": 5}, {"accessToken": "a\r\nb: c"}, [], b"<html>"]
)
def test_a_login_reply_without_a_usable_token_is_an_error(body: object) -> None:
    with pytest.raises(NorthApiError, match="accessToken"):
        read_token(reply(200, body))


def test_errors_survive_being_sent_to_another_process() -> None:
    for read in (
        read_error(reply(403, error("1010009"), retry_after="7")),
        aionorth.ReplyLostError("gone"),
        aionorth.BulkFailedError("some failed", aionorth.DeleteSummary(total=1, failed=1)),
    ):
        copy = pickle.loads(pickle.dumps(read))
        assert type(copy) is type(read)
        assert str(copy) == str(read)
        assert copy.__dict__ == (read.__dict__ if read else None)
