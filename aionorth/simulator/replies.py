"""Replies as values, and every error that the platform documents for the simulated calls."""

import json

import attrs

JSON = "application/json"


@attrs.frozen
class Reply:
    """One reply, before it is put on the wire."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    code: str | None = None
    """The platform's error code in the body; ``None``: there is none."""
    sent: int | None = None
    """How many bytes of the body are sent before the connection is closed; ``None``: all, and it stays open."""


def result(value: object, status: int = 200) -> Reply:
    """Return the reply to a call that was carried out, with ``value`` as JSON."""
    return Reply(status, json.dumps(value).encode(), (("Content-Type", JSON),))


def error(status: int, code: str, description: str) -> Reply:
    """Return the reply to a call that was not carried out."""
    body = json.dumps({"error_code": code, "error_desc": description}).encode()
    return Reply(status, body, (("Content-Type", JSON),), code)


def page(status: int, title: str) -> Reply:
    """Return an HTML page as a web server or a proxy makes it, without an error code."""
    body = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return Reply(status, body.encode(), (("Content-Type", "text/html"),))


NO_CONTENT = Reply(204)
UNROUTED = page(404, "404 Not Found")

THROTTLED = error(403, "1010009", "app throttle exceed.")
TOKEN_INVALID = error(403, "1010005", "App_key or access_token is invalid.")
APP_KEY_MISSING = error(401, "100025", "AppId for auth not exist.")
NOT_AUTHORIZED = error(403, "100217", "The application hasn't been authorized.")

APP_UNKNOWN = error(403, "100203", "The application is not existed.")

LOGIN_REFUSED = error(401, "100208", "AppId or secret is not right.")
PARAMETER_EMPTY = error(400, "102202", "Required Parameter is null or empty.")
INPUT_INVALID = error(400, "50400", "The input is invalid.")

CALLBACK_ILLEGAL = error(400, "100222", "The request callbackurl is illegal.")
TOO_MANY_RESULTS = error(400, "100224", "The number of subscription results exceeds the limit.")
SUBSCRIPTION_NOT_FOUND = error(404, "100225", "The resource is not found.")
ALREADY_SUBSCRIBED = error(409, "100227", "The resource is conflicted.")

BAD_REQUEST = error(400, "120015", "Bad request error.")
PAGE_OUT_OF_RANGE = error(400, "123029", "pageNo or pageSize beyond the limit.")
PACKAGE_NOT_FOUND = error(404, "123002", "Device or package file not found.")

QUERY_INVALID = error(400, "100022", "The input is invalid.")
DEVICE_NOT_FOUND = error(404, "100403", "The device is not existed.")
GROUP_NOT_FOUND = error(200, "100603", "The device group is not existed.")

REJECTIONS = {
    reply.code: reply
    for reply in (
        *(NOT_AUTHORIZED, APP_UNKNOWN, TOKEN_INVALID, APP_KEY_MISSING, INPUT_INVALID, BAD_REQUEST, QUERY_INVALID),
        *(SUBSCRIPTION_NOT_FOUND, PACKAGE_NOT_FOUND, DEVICE_NOT_FOUND, GROUP_NOT_FOUND),
        error(404, "100418", "The device data is not existed."),
        error(400, "100247", "The application is frozen."),
        error(500, "50252", "Server internal error."),
        error(500, "100001", "Internal server error."),
        error(500, "100023", "The data in dataBase is abnormal."),
        error(500, "100220", "Get AppKey from header failed."),
        error(503, "100501", "The server is busy or in error."),
    )
    if reply.code is not None
}
"""The errors that a call on one item may get, by their codes."""
