"""The table of resources: a row is all that another kind needs."""

import json
import random
from typing import Any

import attrs
import pytest

from aionorth.simulator import replies
from aionorth.simulator.northbound import perform, routes_of
from aionorth.simulator.requests import read_call
from aionorth.simulator.resources import PACKAGES, SUBSCRIPTIONS, Filter, Listing, Resource
from aionorth.simulator.state import Platform

NOT_FOUND = replies.error(200, "100603", "The group does not exist.")

GROUPS = Resource(
    name="groups",
    collection="/groups",
    id_field="id",
    new_id=lambda chance: str(chance.random()),
    listing=Listing(rows="list", filters={"name": Filter("name")}, page_size=1, largest_page_size=500),
    written=lambda record, _: {**record, "curDevNum": 0},
    deleted=200,
    not_found=NOT_FOUND,
    malformed=replies.INPUT_INVALID,
    malformed_id=NOT_FOUND,
    app_parameter="accessAppId",
)
"""A kind that differs from the others in every way: its errors come in a 200, it has its own names and page sizes."""


@attrs.frozen
class Caller:
    platform: Platform

    def __call__(self, method: str, target: str) -> tuple[int, str | None, Any]:
        token = self.platform.issue(self.platform.app("ours")).access
        headers = {"app_key": "ours", "Authorization": f"Bearer {token}"}
        call = read_call(routes_of([SUBSCRIPTIONS, PACKAGES, GROUPS]), method, target, headers, b"")
        assert call is not None
        reply = perform(self.platform, call)
        return reply.status, reply.code, json.loads(reply.body or b"null")


@pytest.fixture
def call() -> Caller:
    platform = Platform(
        apps={"ours": "s1", "theirs": "s2"},
        now=lambda: 0.0,
        chance=random.Random(1),
        token_lifetime=60.0,
        quoted_expires_in=False,
    )
    for app in platform.apps.values():
        app.records["groups"] |= {id_: {"id": id_, "name": f"group {id_}"} for id_ in ("g1", "g2")}
    return Caller(platform)


def test_a_kind_is_listed_and_written_as_its_row_says(call: Caller) -> None:
    row = {"id": "g1", "name": "group g1", "curDevNum": 0}
    assert call("GET", "/groups/g1") == (200, None, row)
    assert call("GET", "/groups") == (200, None, {"list": [row], "pageNo": 0, "pageSize": 1, "totalCount": 2})
    assert call("GET", "/groups?name=group+g2&pageSize=500")[2]["totalCount"] == 1
    assert call("GET", "/groups?pageSize=501")[:2] == (400, "50400")
    assert call("GET", "/groups?pageNo=9")[2]["list"] == []


def test_a_kind_is_deleted_as_its_row_says(call: Caller) -> None:
    assert call("DELETE", "/groups/g1") == (200, None, None)
    assert call("DELETE", "/groups/g1")[:2] == (200, "100603")
    assert call("GET", f"/groups/{'x' * 257}")[:2] == (200, "100603")
    assert call.platform.app("ours").records["groups"].keys() == {"g2"}


def test_another_app_is_named_by_the_parameter_of_the_row(call: Caller) -> None:
    assert call("DELETE", "/groups/g1?accessAppId=theirs")[:2] == (403, "100217")
    call.platform.app("theirs").authorized.add("ours")
    assert call("DELETE", "/groups/g1?accessAppId=theirs")[:2] == (200, None)
    assert call("DELETE", "/groups/g2?appId=theirs")[:2] == (200, None)
    assert [app.records["groups"].keys() for app in call.platform.apps.values()] == [{"g1"}, {"g2"}]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_kind_without_batch_deletion_or_creation_has_no_such_route(method: str) -> None:
    assert read_call(routes_of([GROUPS]), method, "/groups", {}, b"") is None
