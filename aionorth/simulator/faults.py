"""Faults that can befall a call on its way: what networks, proxies and a platform in trouble do.

A fault befalls only calls that flow control has let through. One with ``after_effect`` befalls the reply: the call has
been carried out. One without it befalls the request, and the call is never carried out.
"""

import random
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import unquote

import attrs

from aionorth.simulator import replies
from aionorth.simulator.replies import Reply


@attrs.frozen
class Fault:
    """The base of all faults, for `isinstance` and type hints only."""

    after_effect: bool = attrs.field(default=False, kw_only=True)

    def distort(self, reply: Reply) -> Reply | None:
        """Return what is sent instead of ``reply``; ``None`` where the connection is reset without any reply."""
        return reply


@attrs.frozen
class Delay(Fault):
    """The call is carried out and answered, but ``seconds`` late: before its effect, or after it."""

    seconds: float


@attrs.frozen
class Reset(Fault):
    """The connection is reset (a TCP RST) without a reply."""

    def distort(self, reply: Reply) -> None:
        """See :meth:`Fault.distort`."""


@attrs.frozen
class CutBody(Fault):
    """The reply's Content-Length promises more than is sent, then the connection is closed.

    A reply that has no body, which could not be cut, is given one: a 204 becomes a 200.
    """

    after_effect: bool = attrs.field(default=True, kw_only=True)

    def distort(self, reply: Reply) -> Reply:
        """See :meth:`Fault.distort`."""
        if not reply.body:
            reply = replies.result({})
        return attrs.evolve(reply, sent=len(reply.body) // 2)


@attrs.frozen
class HtmlPage(Fault):
    """A proxy on the way answers with a page of its own."""

    status: int = 502

    def distort(self, reply: Reply) -> Reply:  # noqa: ARG002 - a proxy does not care
        """See :meth:`Fault.distort`."""
        return replies.page(self.status, f"{self.status} {HTTPStatus(self.status).phrase}")


@attrs.frozen
class ServerError(Fault):
    """The platform reports trouble of its own; by default that it is congested."""

    status: int = 503
    code: str = "100501"

    def distort(self, reply: Reply) -> Reply:  # noqa: ARG002 - the error takes its place
        """See :meth:`Fault.distort`."""
        return replies.error(self.status, self.code, "The server is busy or in error.")


@attrs.frozen
class WrongContentType(Fault):
    """The call is carried out and answered, but the body is labelled ``content_type``."""

    content_type: str = "text/plain"
    after_effect: bool = attrs.field(default=True, init=False)

    def distort(self, reply: Reply) -> Reply:
        """See :meth:`Fault.distort`."""
        return attrs.evolve(reply, headers=(("Content-Type", self.content_type),))


@attrs.frozen
class ErrorIn200(Fault):
    """The call is not carried out, and the error comes in the body of a 200."""

    code: str = "50252"
    description: str = "Server internal error."
    after_effect: bool = attrs.field(default=False, init=False)

    def distort(self, reply: Reply) -> Reply:  # noqa: ARG002 - the error takes its place
        """See :meth:`Fault.distort`."""
        return replies.error(200, self.code, self.description)


@attrs.frozen
class CannedReply(Fault):
    """Exactly this is answered. A body whose ``headers`` name no type goes out as ``application/octet-stream``."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    def distort(self, reply: Reply) -> Reply:  # noqa: ARG002 - the canned reply takes its place
        """See :meth:`Fault.distort`."""
        return Reply(self.status, self.body, self.headers)


@attrs.define
class _Script:
    fault: Fault
    method: str | None
    path: str
    times: int


class FaultPlan:
    """Decides which fault, if any, befalls a call: the scripted ones first, then chance."""

    def __init__(self, chances: Mapping[Fault, float], chance: random.Random) -> None:
        if min(chances.values(), default=0) < 0 or sum(chances.values()) > 1:
            raise ValueError("the chances of faults must not be negative, nor exceed 1 together")
        self._chances = dict(chances)
        self._chance = chance
        self._scripts: list[_Script] = []

    def script(self, fault: Fault, *, method: str | None, path: str, times: int) -> None:
        """Let ``fault`` befall the next ``times`` calls of ``method`` (``None``: any) whose path contains ``path``."""
        if times < 1:
            raise ValueError("a scripted fault must befall at least one call")
        self._scripts.append(_Script(fault, method, path, times))

    def scripted(self, method: str, target: str) -> Fault | None:
        """Return the fault scripted for a call to ``target``, path and query as on the wire.

        The call uses up one of its times. Of several faults, the one scripted first comes first.
        """
        if not self._scripts:
            return None
        path = unquote(target.partition("?")[0])
        for script in self._scripts:
            if script.method in {None, method} and script.path in path:
                script.times -= 1
                if not script.times:
                    self._scripts.remove(script)
                return script.fault
        return None

    def drawn(self) -> Fault | None:
        """Return the fault that chance sends."""
        if not self._chances:
            return None
        left = self._chance.random()
        for fault, probability in self._chances.items():
            if left < probability:
                return fault
            left -= probability
        return None
