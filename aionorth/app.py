"""What the callers of one app must agree on: its flow control and its token.

Sessions of one event loop that name the same base URL and app find the same `App` here. It outlives the last of them
until its calls no longer count on the platform: a session opened in the meantime goes on where that one stopped.
"""

from __future__ import annotations

import asyncio
import threading
import warnings

from aionorth.auth import Secret, TokenKeeper
from aionorth.errors import NorthWarning
from aionorth.flow import FlowControl, FlowRuntime
from aionorth.retry import growing_waits


class App:
    """One app's shared state in one event loop."""

    def __init__(self, flow_control: FlowControl) -> None:
        self.flow = FlowRuntime(flow_control, growing_waits)
        self._asked_for = flow_control
        self._tokens: dict[Secret, TokenKeeper] = {}
        self.sessions = 0
        self.forgetting: asyncio.TimerHandle | None = None

    def keeper(self, secret: Secret) -> TokenKeeper:
        """Return the keeper of the token that `secret` obtains; a wrong secret must not find the right one's."""
        return self._tokens.setdefault(secret, TokenKeeper())

    def keep_within(self, flow_control: FlowControl) -> None:
        """Take a further session's settings into account: where they differ, the stricter hold, with a warning."""
        if flow_control != self._asked_for:
            self.flow.tighten(flow_control)
            holds = self.flow.settings
            warnings.warn(
                f"sessions of the same app have different flow control ({self._asked_for} and {flow_control}); "
                f"{holds.limit} calls in {holds.period:g} s hold for all of them",
                NorthWarning,
                stacklevel=4,
            )


_Key = tuple[asyncio.AbstractEventLoop, str, str]
_apps: dict[_Key, App] = {}
_lock = threading.Lock()  # event loops may live in several threads


def join(url: str, app_id: str, flow_control: FlowControl) -> App:
    """Return the `App` that this loop's sessions of this app share; a session that joins leaves again with `leave`."""
    loop = asyncio.get_running_loop()
    with _lock:
        for key in [key for key in _apps if key[0].is_closed()]:
            del _apps[key]
        app = _apps.get((loop, url, app_id))
        if app is None:
            app = _apps[loop, url, app_id] = App(flow_control)
    app.keep_within(flow_control)
    app.sessions += 1
    if app.forgetting is not None:
        app.forgetting.cancel()
    return app


def leave(url: str, app_id: str, app: App) -> None:
    """Give up a session's share; the app is forgotten once it has no session and none of its calls counts any more."""
    app.sessions -= 1
    _forget_when_idle((asyncio.get_running_loop(), url, app_id), app)


def _forget_when_idle(key: _Key, app: App) -> None:
    if app.sessions:
        return
    if (seconds := app.flow.idle_in) > 0:
        app.forgetting = key[0].call_later(seconds, _forget_when_idle, key, app)
        return
    with _lock:
        if _apps.get(key) is app:
            del _apps[key]
