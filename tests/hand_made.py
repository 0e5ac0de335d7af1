"""Events made by hand."""

from typing import Any

from support import APP

from aionorth import events

TEMPLATE = "/iocm/app/sub/v1.2.0/subscriptions/{subscriptionId}"


def started(number: int, within: int | None = None, **fields: Any) -> events.CallStarted:
    """An attempt that begins."""
    return events.CallStarted(**_call(number, within) | fields)


def ended(number: int, within: int | None = None, **fields: Any) -> events.CallEnded:
    """An attempt that has ended, with a 204 unless told otherwise."""
    reply = {"status": 204, "code": None, "error_type": None, "duration": 0.02}
    return events.CallEnded(**_call(number, within) | reply | fields)


def _call(number: int, within: int | None) -> dict[str, Any]:
    return {
        "app_id": APP,
        "number": number,
        "within": within,
        "operation": "delete_subscription",
        "method": "DELETE",
        "url_template": TEMPLATE,
        "server_address": "iot.example.com",
        "server_port": 8743,
        "attempt": 1,
        "waited": 0.0,
    }
