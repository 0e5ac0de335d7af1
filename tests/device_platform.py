"""A second platform for devices and device groups, with its own reading of the documents. It has no flow control.

It reads them otherwise than the simulator where they are silent: a directly connected device has no gatewayId at all,
numbers in lists are strings, and a list that is asked for without `sort` comes with the newest first.
"""

import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
from aiohttp import web

DEVICES = "/iocm/app/dm/v1.4.0/devices"
GROUPS = "/iocm/app/devgroup/v1.3.0/devGroups"


@attrs.define
class DevicePlatform:
    """State: what there is, what was deleted by a call of its own, and what went along with a gateway."""

    loses: float = 0.0
    """The part of the replies to deletions that are lost, after the deletion."""
    devices: dict[str, dict[str, Any]] = attrs.Factory(dict[str, dict[str, Any]])
    groups: dict[str, dict[str, Any]] = attrs.Factory(dict[str, dict[str, Any]])
    deleted: Counter[str] = attrs.Factory(Counter[str])
    along: Counter[str] = attrs.Factory(Counter[str])
    queries: list[dict[str, str]] = attrs.Factory(list[dict[str, str]])
    """The queries of the deletions, in order."""
    chance: random.Random = attrs.Factory(lambda: random.Random(14))
    url: str = ""

    def register(self, id_: str, *, gateway: str | None = None, node_type: str = "ENDPOINT", **info: str) -> None:
        row: dict[str, Any] = {"deviceId": id_, "nodeType": node_type, "createTime": "20260301T120000Z"}
        row |= {
            "lastModifiedTime": "20260302T120000Z",
            "deviceInfo": {"nodeId": f"n-{id_}", "status": "OFFLINE"} | info,
        }
        self.devices[id_] = row | ({} if gateway is None else {"gatewayId": gateway})

    def behind(self, gateway: str) -> list[str]:
        return [id_ for id_, row in self.devices.items() if row.get("gatewayId") == gateway]

    def remove(self, id_: str) -> None:
        del self.devices[id_]
        for other in self.behind(id_):
            self.along[other] += 1
            self.remove(other)

    async def list_devices(self, request: web.Request) -> web.Response:
        rows = list(self.devices.values())
        return self._page(request, rows if request.query.get("sort") == "ASC" else rows[::-1], "devices", 250)

    async def list_groups(self, request: web.Request) -> web.Response:
        return self._page(request, list(self.groups.values()), "list", 500)

    def _page(self, request: web.Request, rows: list[dict[str, Any]], name: str, most: int) -> web.Response:
        size, at = int(request.query.get("pageSize", "1")), int(request.query["pageNo"])
        if size > most:
            return web.json_response({"error_code": "50400", "error_desc": "pageSize"}, status=400)
        shown = rows[at * size : (at + 1) * size]
        return web.json_response({"totalCount": str(len(rows)), "pageNo": str(at), "pageSize": size, name: shown})

    async def delete_device(self, request: web.Request) -> web.Response:
        id_ = request.match_info["id"]
        self.queries.append(dict(request.query))
        if id_ not in self.devices:
            return web.json_response({"error_code": "100403", "error_desc": "The device is not existed."}, status=404)
        self.deleted[id_] += 1
        if request.query.get("cascade", "true") == "true":
            self.remove(id_)
        else:
            for other in self.behind(id_):
                del self.devices[other]["gatewayId"]
            del self.devices[id_]
        return self._perhaps(request, web.Response(status=204))

    async def delete_group(self, request: web.Request) -> web.Response:
        self.queries.append(dict(request.query))
        if self.groups.pop(id_ := request.match_info["id"], None) is None:
            return web.json_response({"error_code": "100603", "error_desc": "The device group is not existed"})
        self.deleted[id_] += 1
        return self._perhaps(request, web.Response(status=200))

    def _perhaps(self, request: web.Request, response: web.Response) -> web.Response:
        if self.chance.random() < self.loses:
            assert request.transport is not None
            request.transport.abort()
        return response

    async def get_group(self, request: web.Request) -> web.Response:
        nothing = {"error_code": "100603", "error_desc": "The device group is not existed"}
        return web.json_response(self.groups.get(request.match_info["id"], nothing))


@asynccontextmanager
async def device_platform(*, loses: float = 0.0) -> AsyncIterator[DevicePlatform]:
    platform = DevicePlatform(loses=loses)
    app = web.Application()
    app.router.add_get(DEVICES, platform.list_devices)
    app.router.add_delete(DEVICES + "/{id}", platform.delete_device)
    app.router.add_get(GROUPS, platform.list_groups)
    app.router.add_get(GROUPS + "/{id}", platform.get_group)
    app.router.add_delete(GROUPS + "/{id}", platform.delete_group)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server: Any = site._server
        platform.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield platform
    finally:
        await runner.cleanup()
