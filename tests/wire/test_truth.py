"""What replies come to, as they are in the field: a row each, with its outcome and whether a pause begins."""

import gzip
import json
import zlib
from typing import Any

import aiohttp
import attrs
import pytest
from raw import Answer, End, answering, head, reply
from support import APP

import aionorth
from aionorth import Outcome

KNOWN_404 = reply(404, b'{"error_code": "100225", "error_desc": "The resource is not found."}')
PAGE = b"<html><body>Sorry.</body></html>"
POLICY = aionorth.RetryPolicy(attempts=2, base=0.1, deadline=600.0)


@attrs.frozen
class Row:
    """A first reply, and what it must come to when the platform answers all further calls that it knows no such id."""

    data: bytes
    outcome: Outcome
    error: type[Exception] | None = None
    end: End = "stays"
    refused: bool = False

    @property
    def attempts(self) -> int:
        return 2 if self.outcome is Outcome.GONE else 1


def coded(status: int, code: object, name: str = "error_msg", **more: str) -> bytes:
    return reply(status, json.dumps({"error_code": code, name: "Said so."} | more).encode())


def refused(body: bytes, *lines: str, status: int = 403) -> Row:
    return Row(reply(status, body, *lines), Outcome.NOT_FOUND, aionorth.SubscriptionNotFoundError, refused=True)


def lost(data: bytes, end: End = "stays") -> Row:
    return Row(data, Outcome.GONE, aionorth.SubscriptionNotFoundError, end=end)


def deleted(data: bytes, end: End = "stays") -> Row:
    return Row(data, Outcome.DELETED, end=end)


def not_there(data: bytes, error: type[Exception] = aionorth.NotFoundError, end: End = "stays") -> Row:
    return Row(data, Outcome.NOT_FOUND, error, end=end)


def failed(data: bytes, error: type[Exception] = aionorth.NorthApiError) -> Row:
    return Row(data, Outcome.FAILED, error)


def throttled(prose: bytes) -> bytes:
    return b'{"error_code": "1010009", "error_desc": "' + prose + b'"}'


zipped = gzip.compress(b'{"error_code": "100225", "error_desc": "The resource is not found."}')
deflated = zlib.compress(b'{"error_code": "100225", "error_desc": "The resource is not found."}')

STATUS = {
    "429, a gateway's code": refused(b'{"error_code": "APIGW.0308", "error_msg": "..."}', status=429),
    "429, another code": refused(b'{"error_code": "APIG.0308", "error_msg": "..."}', "Retry-After: 3", status=429),
    "429, a code of the platform's": refused(b'{"error_code": "100225"}', status=429),
    "429, empty": refused(b"", status=429),
    "429, a page": refused(PAGE, status=429),
    "429, cut": Row(
        head(429, "Content-Length: 100") + b'{"error_',
        Outcome.NOT_FOUND,
        aionorth.NotFoundError,
        "closes",
        refused=True,
    ),
    "429, a body without end": Row(
        head(429, "Connection: close") + b"x" * 9_000_000,
        Outcome.NOT_FOUND,
        aionorth.NotFoundError,
        "closes",
        refused=True,
    ),
    "410, empty": not_there(reply(410)),
    "410, an unknown code": not_there(coded(410, "X.410")),
    "410, a page": failed(reply(410, PAGE)),
    "404, an unknown code": failed(coded(404, "APIG.0101")),
    "404, a page": failed(reply(404, PAGE)),
    "400, an unknown code": failed(coded(400, "APIG.0201")),
    "504, an unknown code": lost(coded(504, "APIG.0201")),
    "502, an unknown code": lost(coded(502, "X")),
    "408, an unknown code": lost(coded(408, "X")),
    "503, an unknown code": lost(coded(503, "X")),
}

PROSE = {
    "GBK": refused(throttled("应用限流".encode("gbk"))),
    "GBK, declared": refused(throttled("应用限流".encode("gbk")), "Content-Type: application/json; charset=GBK"),
    "a charset that is not": refused(throttled("应用".encode("gbk")), "Content-Type: application/json; charset=GBKX"),
    "a charset that is wrong": refused(throttled("应用".encode()), "Content-Type: application/json; charset=GBK"),
    "a codec that is no charset": refused(throttled(b"\xff"), "Content-Type: application/json; charset=idna"),
    "GBK before a quote": refused(throttled("限流誠".encode("gbk"))),
    "Big5": refused(throttled("功許".encode("big5"))),
    "a tab": refused(throttled(b"a\tb")),
    "a line end": refused(throttled(b"a\r\nb")),
    "a NUL in it": refused(throttled(b"a\0b")),
    "UTF-8 cut": refused(throttled("限".encode()[:2])),
    "a byte order mark": refused(b"\xef\xbb\xbf" + throttled(b"no")),
    "a trailing NUL": refused(throttled(b"no") + b"\0"),
    "UTF-16": refused(throttled(b"no").decode().encode("utf-16")),
    "UTF-16, no mark": refused(throttled(b"no").decode().encode("utf-16-le")),
    "quotes": refused(throttled(b'the "app" is throttled')),
    "a backslash": refused(throttled(rb"C:\path\u12")),
    "cut by a gateway": refused(throttled(b"no")[:-10]),
    "a number": refused(b'{"error_code": 1010009, "error_desc": "a\tb \xff"}'),
    "a number, cut": refused(b'{"error_desc": "a\t"b \xff", "error_code": 1010009}'),
    "a blank behind the code": refused(b'{"error_code": "1010009 "}'),
    "description first": refused(b'{"error_desc": "a "b", "error_code": "1010009"'),
    "a wrong type": refused(throttled(b"no"), "Content-Type: text/html"),
    "with words of nginx": refused(throttled(b"No required SSL certificate was sent"), status=400),
    "in a 200": refused(throttled(b"a\nb"), status=200),
    "of another code": not_there(reply(404, b'{"error_code": "100225", "error_desc": "\xb2\xbb\n"}')),
}

ENDS = {
    "404, no length, breaks": lost(head(404), "breaks"),
    "404, no length, says it closes, breaks": lost(head(404, "Connection: close"), "breaks"),
    "200, no length, breaks": lost(head(200), "breaks"),
    "200, no length, breaks in its body": lost(head(200) + b'{"a": ', "breaks"),
    "404, no length, closes": lost(head(404), "closes"),
    "200, no length, closes": lost(head(200), "closes"),
    "404, says that it closes": not_there(head(404, "Connection: close"), end="closes"),
    "200, says that it closes": deleted(head(200, "Connection: close"), "closes"),
    "200, HTTP/1.0": deleted(head(200, version="1.0"), "closes"),
    "404, no length, JSON to its end": not_there(head(404) + b'{"error_code": "100225"}', end="closes"),
    "404, Content-Length, cut": lost(head(404, "Content-Length: 40") + b'{"error_code": "100225",', "closes"),
    "200, Content-Length, cut": lost(head(200, "Content-Length: 2") + b"{", "closes"),
    "200, chunks, cut": lost(head(200, "Transfer-Encoding: chunked") + b"2\r\n{}\r\n", "closes"),
    "200, chunks, cut before the first": lost(head(200, "Transfer-Encoding: chunked"), "closes"),
    "200, chunks": deleted(head(200, "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n"),
    "403, cut": lost(head(403, "Content-Length: 100") + PAGE, "closes"),
    "403, cut behind the code": Row(
        head(403, "Content-Length: 100") + throttled(b"no")[:-5],
        Outcome.NOT_FOUND,
        aionorth.NotFoundError,
        "breaks",
        refused=True,
    ),
    "404, gzip": not_there(reply(404, zipped, "Content-Encoding: gzip")),
    "404, deflate": not_there(reply(404, deflated, "Content-Encoding: deflate")),
    "404, gzip, cut": lost(reply(404, zipped[:30], "Content-Encoding: gzip")),
    "404, gzip, cut before its end": lost(reply(404, zipped[:12], "Content-Encoding: gzip")),
    "404, gzip, nothing of it": lost(reply(404, b"", "Content-Encoding: gzip")),
    "200, gzip, nothing of it": lost(reply(200, b"", "Content-Encoding: gzip")),
    "200, deflate, cut": lost(reply(200, deflated[:10], "Content-Encoding: deflate")),
    "200, not gzip": lost(reply(200, b"{}", "Content-Encoding: gzip")),
    "200, Content-Length twice": deleted(head(200, "Content-Length: 0", "Content-length:0")),
    "200, two Content-Lengths": lost(head(200, "Content-Length: 0", "Content-Length: 2") + b"{}"),
    "404, Content-Length twice": not_there(
        head(404, "Content-Length: 24", "X: y", "Content-Length: 24") + b'{"error_code": "100225"}'
    ),
    "204": deleted(head(204)),
    "204, Content-Length": deleted(head(204, "Content-Length: 0")),
    "204, Content-Length twice": deleted(head(204, "Content-Length: 0", "Content-Length: 0")),
    "204, two Content-Lengths": deleted(head(204, "Content-Length: 0", "content-length: 7")),
    "204, a Content-Length and no body": deleted(head(204, "Content-Length: 7")),
    "204, a body": deleted(head(204, "Content-Length: 2") + b"{}"),
    "204, a body without length": deleted(head(204) + b"{}"),
    "204, a chunked end": deleted(head(204, "Transfer-Encoding: chunked") + b"0\r\n\r\n"),
    "204, a chunked end unsaid": deleted(head(204) + b"0\r\n\r\n"),
    "204, length and chunks": deleted(head(204, "Content-Length: 0", "Transfer-Encoding: chunked") + b"0\r\n\r\n"),
    "204, breaks": deleted(head(204), "breaks"),
    "204 after a 100": deleted(
        head(100) + head(103, "Link: </>") + head(204, "Content-Length: 0", "Content-Length: 0")
    ),
    "204, HTTP/1.0": deleted(head(204, version="1.0"), "closes"),
    "204, bare line feeds": deleted(head(204).replace(b"\r", b"")),
    "204, cut": lost(head(204)[:-2], "closes"),
}


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in (STATUS | PROSE | ENDS).items()])
async def test_a_reply_comes_to_what_it_says_and_no_more(row: Row) -> None:
    async with (
        answering(Answer(row.data, row.end), Answer(KNOWN_404)) as platform,
        aionorth.NorthSession(platform.url, app_id=APP, token="t0ken", retry=POLICY) as north,
    ):
        summary = await north.delete_subscriptions(["one"])
        (result,) = summary.results
        assert (result.outcome, result.attempts) == (row.outcome, row.attempts)
        assert isinstance(result.error, row.error or type(None))
        assert (result.refusals, north.flow.refusals) == (row.refused, row.refused)
        assert (north.flow.gap > 0) == row.refused  # which a pause has taught
        assert summary.calls == len(platform.requests) == row.attempts + row.refused


@pytest.mark.parametrize(
    "name", [name for name in ENDS if name.startswith("204") and name not in {"204, cut", "204, breaks"}]
)
async def test_what_follows_a_204_is_not_taken_for_the_next_reply(name: str) -> None:
    row = ENDS[name]
    async with (
        answering(
            Answer(row.data, row.end), Answer(KNOWN_404), Answer(row.data, row.end), Answer(KNOWN_404)
        ) as platform,
        aionorth.NorthSession(platform.url, app_id=APP, token="t0ken", retry=POLICY) as north,
    ):
        summary = await north.delete_subscriptions(["one", "two", "three", "four"], workers=1)
        assert [result.outcome for result in summary.results] == [Outcome.DELETED, Outcome.NOT_FOUND] * 2
        assert len(platform.requests) == 4


async def test_a_204_that_is_as_it_should_be_keeps_its_connection() -> None:
    for data in (head(204), head(204, "Content-Length: 0")):
        async with (
            answering(Answer(data)) as platform,
            aionorth.NorthSession(platform.url, app_id=APP, token="t0ken") as north,
        ):
            assert (await north.delete_subscriptions(["one", "two", "three"], workers=1)).deleted == 3
            assert platform.connections == 1


async def test_a_204_in_pieces_is_one() -> None:
    async with (
        answering(Answer(head(100) + head(204, "Content-Length: 0", "Content-Length: 0"), in_pieces=True)) as platform,
        aionorth.NorthSession(platform.url, app_id=APP, token="t0ken") as north,
    ):
        assert (await north.delete_subscription("one")).attempts == 1


@pytest.mark.parametrize("name", ["error_desc", "error_msg"])
async def test_a_description_goes_by_either_name(name: str) -> None:
    async with (
        answering(Answer(coded(400, "APIG.0201", name))) as platform,
        aionorth.NorthSession(platform.url, app_id=APP, token="t0ken") as north,
    ):
        with pytest.raises(aionorth.NorthApiError, match="Said so") as caught:
            await north.delete_subscription("one")
        assert (caught.value.code, caught.value.description) == ("APIG.0201", "Said so.")


@pytest.mark.parametrize("prose", [b"a\nb\tc", "限流".encode("gbk"), b"\xff", b"C:\\dir"])
async def test_prose_that_cannot_be_read_does_not_cost_a_list(prose: bytes) -> None:
    rows = b'{"fileId": "f1", "description": "' + prose + b'"}, {"fileId": "f2", "name": "two"}'
    body = b'{"data": [' + rows + b'], "pageNo": 0, "pageSize": 100, "totalCount": 2}'
    async with (
        answering(Answer(reply(200, body))) as platform,
        aionorth.NorthSession(platform.url, app_id=APP, token="t0ken") as north,
    ):
        assert [item.file_id async for item in north.list_upgrade_packages()] == ["f1", "f2"]


async def test_an_id_whose_bytes_were_replaced_is_not_sent() -> None:
    body = b'{"data": [{"fileId": "f\xff1"}, {"fileId": "f2"}], "totalCount": 2}'
    async with (
        answering(Answer(reply(200, body)), Answer(head(204))) as platform,
        aionorth.NorthSession(platform.url, app_id=APP, token="t0ken") as north,
    ):
        plan = await north.plan(aionorth.PackageSelection(everything=True))
        assert [item.file_id for item in plan.delete] == ["f2"]
        assert [kept.reason for kept in plan.keep] == ["its id cannot be sent in a call"]


async def test_what_has_an_id_that_cannot_be_sent_is_not_left_out_of_a_list_in_silence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    body = b'{"data": [{"fileId": "f/../1"}, {"fileId": "f2"}], "totalCount": 2}'
    said = "left out of the list of packages: 1 id that cannot be sent in a call, as 'f/../1'"
    async with (
        answering(Answer(reply(200, body)), Answer(reply(200, body))) as platform,
        aionorth.NorthSession(platform.url, app_id=APP, token="t0ken") as north,
    ):
        for selection, listed in (
            (aionorth.PackageSelection(everything=True), ["f2"]),
            (aionorth.PackageSelection(keep_latest=1), []),  # when it was uploaded is not known
        ):
            assert [item.file_id async for item in north.list_selected(selection)] == listed
            assert caplog.messages == [said]
            caplog.clear()


async def test_a_description_of_megabytes_is_not_kept() -> None:
    body: Any = json.dumps({"error_code": "9" * 1_000_000, "error_desc": "x" * 2_000_000}).encode()
    async with (
        answering(Answer(reply(400, body))) as platform,
        aionorth.NorthSession(platform.url, app_id=APP, token="t0ken") as north,
    ):
        summary = await north.delete_subscriptions(["one"])
        (result,) = summary.results
        assert isinstance(result.error, aionorth.NorthApiError)
        assert (len(result.error.code or ""), len(result.error.description)) == (1000, 1000)
        assert len(str(summary)) < 4000


@pytest.mark.parametrize("status", [200, 404])
async def test_through_ones_own_session_a_connection_that_breaks_is_no_end_either(status: int) -> None:
    async with (
        answering(Answer(head(status, "Connection: close"), "breaks"), Answer(KNOWN_404)) as platform,
        aiohttp.ClientSession() as http,
        aionorth.NorthSession(platform.url, app_id=APP, token="t0ken", retry=POLICY, http=http) as north,
    ):
        assert (await north.delete_subscription("one")).outcome is Outcome.GONE
