import asyncio
import gc
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import APP, session, shown

import aionorth
from aionorth.auth import keeper, sources
from aionorth.bulk import caller, run
from aionorth.session import app
from aionorth.simulator import CannedReply, CutBody, ErrorIn200, HtmlPage, Reset, Simulator
from aionorth.wire import transport

PACKAGE = Path(aionorth.__file__).parent
SECRET = "s3cret-of-the-app"
TOKEN = "t0ken-of-the-app"


class Recorder(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def log() -> Iterator[list[str]]:
    recorder = Recorder()
    root = logging.getLogger()
    level = root.level
    root.addHandler(recorder)
    root.setLevel(logging.DEBUG)
    yield recorder.lines
    root.removeHandler(recorder)
    root.setLevel(level)


@pytest.mark.parametrize(
    "fault",
    [
        Reset(),
        CutBody(),
        HtmlPage(502),
        HtmlPage(404),
        ErrorIn200("1010005"),
        ErrorIn200("100217"),
        ErrorIn200("1010009"),
        CannedReply(200, b"<html>"),
        CannedReply(500, headers=(("Content-Encoding", "gzip"),), body=b"no gzip"),
    ],
)
@pytest.mark.parametrize("where", ["DELETE", "POST"])
async def test_no_secret_is_shown_in_logs_or_errors(fault: Any, where: str, log: list[str]) -> None:
    policy = aionorth.RetryPolicy(attempts=2, deadline=100.0)
    async with Simulator({APP: SECRET}) as platform:
        platform.script(fault, method=where, times=1000)
        async with session(platform, secret=SECRET, retry=policy) as north:
            errors: list[BaseException] = []
            try:
                await north.delete_subscription("one")
            except aionorth.NorthError as exc:
                errors.append(exc)
            try:
                summary = await north.delete_subscriptions(["one", "two"])
            except aionorth.BulkAbortedError as exc:
                errors.append(exc)
                summary = exc.summary
            tokens = {platform.issue_token(), *access_tokens(north)}
    for text in [*map(shown, errors), *log, repr(summary), str(summary), str(summary.to_dict())]:
        assert SECRET not in text
        assert not any(token in text for token in tokens)


def access_tokens(north: aionorth.NorthSession) -> list[str]:
    assert north._app is not None
    return [one._live.token.access for one in north._app._tokens.values() if one._live is not None]


def instances(kind: type) -> list[Any]:
    return [thing for thing in gc.get_objects() if isinstance(thing, kind)]


async def test_no_secret_is_shown_by_any_repr() -> None:
    async with Simulator({APP: SECRET}) as platform:
        async with session(platform, secret=SECRET) as north:
            await north.delete_subscriptions(platform.add_subscriptions(3))
            tokens = access_tokens(north)
            assert tokens
            kinds = (
                aionorth.NorthSession,
                app.App,
                keeper.TokenKeeper,
                keeper.LiveToken,
                sources.Secret,
                run.BulkDelete,
                caller.Caller,
                transport.Transport,
            )
            for kind in kinds:
                for thing in instances(kind):
                    text = repr(thing) + repr(getattr(thing, "__dict__", ""))
                    assert SECRET not in text
                    assert not any(token in text for token in tokens)


async def test_a_given_token_is_shown_nowhere(log: list[str]) -> None:
    async with Simulator() as platform, session(platform, token=TOKEN) as north:
        with pytest.raises(aionorth.InvalidTokenError) as caught:
            await north.delete_subscription("one")
        assert TOKEN not in shown(caught.value)
        assert TOKEN not in "\n".join(log)
        assert TOKEN not in repr(north)


async def test_a_cancelled_call_shows_no_secret_in_the_frames_of_the_package() -> None:
    async with Simulator({APP: SECRET}, latency=lambda _: (5.0, 0.0)) as platform:
        async with session(platform, secret=SECRET) as north:
            call = asyncio.create_task(north.delete_subscription("one"))
            await asyncio.sleep(7)
            call.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await call
            (token,) = access_tokens(north)
            frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack
            ours = "".join(str(frame.locals) for frame in frames if Path(frame.filename).is_relative_to(PACKAGE))
            assert "Request(" in ours
            assert token not in ours
            assert SECRET not in ours


def test_a_wrong_argument_does_not_show_the_secret() -> None:
    with pytest.raises(aionorth.ArgumentError) as caught:
        aionorth.NorthSession("https://server?x", app_id=APP, secret=SECRET)
    assert SECRET not in shown(caught.value)
