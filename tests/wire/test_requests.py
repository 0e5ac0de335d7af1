"""The calls as they are sent, and which ids can be in them."""

import json
import posixpath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

import aionorth
from aionorth.wire.checks import id_fault
from aionorth.wire.requests import delete, list_page, login, refresh_token
from aionorth.wire.resources import DEVICE_GROUPS, DEVICES, PACKAGES, SUBSCRIPTIONS

SUBSCRIPTIONS_PATH = "/iocm/app/sub/v1.2.0/subscriptions/"
PACKAGES_PATH = "/iodm/northbound/v1.5.0/category/"

parts = st.sampled_from(
    [".", "..", "/", "\\", "%2e", "%2F", "%252f", "%5c", ";", "?", "#", "x", "\uff05", "\uff0e", "\u2025", "%c0%ae"]
)
paths = st.lists(parts, min_size=1, max_size=8).map("".join)


def accepted(id_: str) -> bool:
    return id_fault(id_) is None


ids = st.text(min_size=1, max_size=256).filter(accepted)
"""Whatever is not refused; which that is, the tests below say."""


def tidied(path: str, decodings: int, *, backslashes: bool, parameters: bool) -> list[str]:
    """Return the segments to which a proxy tidies up a path that it decodes so many times."""
    for _ in range(decodings):
        path = unquote(path)
    path = path.replace("\\", "/") if backslashes else path
    segments = [segment.partition(";")[0] if parameters else segment for segment in path.split("/")]
    return posixpath.normpath("/".join(segments)).split("/")


def test_the_two_delete_calls_are_those_of_the_documents() -> None:
    request = delete(SUBSCRIPTIONS, "sub-1")
    assert (request.method, request.target) == ("DELETE", "/iocm/app/sub/v1.2.0/subscriptions/sub-1")
    request = delete(PACKAGES, "file-1")
    assert (request.method, request.target) == ("DELETE", "/iodm/northbound/v1.5.0/category/file-1")
    assert request.body is None


def test_the_app_id_of_another_app_goes_into_the_query_and_nothing_else_does() -> None:
    request = delete(SUBSCRIPTIONS, "sub-1", authorized_app_id="other&app=1")
    assert request.target == "/iocm/app/sub/v1.2.0/subscriptions/sub-1?appId=other%26app%3D1"
    assert "?" not in delete(SUBSCRIPTIONS, "sub-1").target


def test_the_deletion_of_a_device_says_whether_what_is_behind_it_goes_too() -> None:
    path = "/iocm/app/dm/v1.4.0/devices/dev-1"
    assert delete(DEVICES, "dev-1", cascade=True).target == f"{path}?cascade=true"
    assert delete(DEVICES, "dev-1", authorized_app_id="a", cascade=False).target == f"{path}?appId=a&cascade=false"
    with pytest.raises(aionorth.ArgumentError, match="behind a gateway"):
        delete(DEVICES, "dev-1")
    with pytest.raises(aionorth.ArgumentError, match="nothing is behind packages"):
        delete(PACKAGES, "file-1", cascade=False)


def test_another_apps_group_is_named_by_a_parameter_of_its_own() -> None:
    path = "/iocm/app/devgroup/v1.3.0/devGroups"
    assert delete(DEVICE_GROUPS, "g", authorized_app_id="a").target == f"{path}/g?accessAppId=a"
    assert list_page(DEVICE_GROUPS, 2).target == f"{path}?pageNo=2&pageSize=500"


def test_devices_are_listed_the_oldest_first_on_the_largest_pages() -> None:
    query = list_page(DEVICES, 0, {"status": "OFFLINE", "gateway_id": None}).target.partition("?")[2]
    assert query == "status=OFFLINE&sort=ASC&pageNo=0&pageSize=250"


@given(ids)
def test_any_id_stays_one_segment_of_the_path(id_: str) -> None:
    for prefix, request in (
        (SUBSCRIPTIONS_PATH, delete(SUBSCRIPTIONS, id_, authorized_app_id="app")),
        (PACKAGES_PATH, delete(PACKAGES, id_)),
    ):
        parts = urlsplit("https://server:8743" + request.target)
        assert parts.path.startswith(prefix)
        segment = parts.path.removeprefix(prefix)
        assert unquote(segment) == id_
        assert segment.isascii()
        assert not set(segment) & set("/?#\\ ")
        assert ".." not in segment
        assert parse_qs(parts.query) == ({"appId": ["app"]} if prefix == SUBSCRIPTIONS_PATH else {})
        assert not parts.fragment


@given(st.one_of(ids, paths.filter(accepted)))
def test_no_proxy_that_tidies_paths_finds_another_way_in_an_id(id_: str) -> None:
    target = delete(SUBSCRIPTIONS, id_).target
    for decodings in range(5):
        for backslashes in (False, True):
            for parameters in (False, True):
                segments = tidied(target, decodings, backslashes=backslashes, parameters=parameters)
                assert segments[:6] == SUBSCRIPTIONS_PATH.rstrip("/").split("/")
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
    with pytest.raises(aionorth.InvalidIdError, match=r"path segment that is empty, '[.]' or '[.][.]'"):
        delete(PACKAGES, id_)


@pytest.mark.parametrize(
    "id_", ["a/b", "a.b", "...", "a..b", "a/b.c/..d", "100%", "a?b#c", "%76ictim", "a%20b", ".hidden"]
)
def test_an_id_without_a_step_is_not(id_: str) -> None:
    assert unquote(delete(PACKAGES, id_).target.removeprefix(PACKAGES_PATH)) == id_


@pytest.mark.parametrize("id_", ["x;y", "x;a=b", "x%3By", "x%253By", "x\uff1by", "a/b;c"])
def test_an_id_that_some_servers_would_end_sooner_is_refused(id_: str) -> None:
    with pytest.raises(aionorth.InvalidIdError, match="has a ';' in it"):
        delete(SUBSCRIPTIONS, id_)


@pytest.mark.parametrize(
    "id_",
    [
        *('"sub-1"', "'sub-1'", "`sub-1`", "\u201csub-1\u201d", "«sub-1»", '"sub-1', 'sub-1"', "{sub-1}", "[sub-1]"),
        *('{"id": "sub-1"}', '["sub-1"', "sub-1]", '"', "{"),
    ],
)
def test_an_id_in_quotes_or_braces_is_refused(id_: str) -> None:
    with pytest.raises(aionorth.InvalidIdError, match="in quotes or braces: give the id without them"):
        delete(SUBSCRIPTIONS, id_)


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
    for resource in (SUBSCRIPTIONS, PACKAGES):
        with pytest.raises(aionorth.InvalidIdError, match="_id "):
            delete(resource, id_)


def test_an_id_of_256_characters_is_not_too_long() -> None:
    assert delete(SUBSCRIPTIONS, "x" * 256).target.endswith("x" * 256)


def test_login_is_a_form_and_refresh_is_json() -> None:
    request = login("app 1", "s&cret")
    assert (request.method, request.target) == ("POST", "/iocm/app/sec/v1.1.0/login")
    assert request.content_type == "application/x-www-form-urlencoded"
    assert parse_qs((request.body or b"").decode()) == {"appId": ["app 1"], "secret": ["s&cret"]}
    refresh = refresh_token("app", "secret", "token")
    assert (refresh.method, refresh.target) == ("POST", "/iocm/app/sec/v1.1.0/refreshToken")
    assert refresh.content_type == "application/json"
    assert json.loads(refresh.body or b"") == {"appId": "app", "secret": "secret", "refreshToken": "token"}
