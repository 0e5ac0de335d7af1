"""The faults that a call can suffer: what networks, proxies and a platform in trouble do.

Only calls that flow control accepts have faults. One with ``after_effect`` damages the reply: the call has been carried
out. One without it damages the request: the call is never carried out.
"""

import random
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from urllib.parse import unquote

import attrs

from aionorth.simulator import replies
from aionorth.simulator.replies import Reply
from aionorth.simulator.state import new_ids


@attrs.frozen
class Fault:
    """The base of all faults, for `isinstance` and type hints only."""

    after_effect: bool = attrs.field(default=False, kw_only=True)

    def distort(self, reply: Reply) -> Reply | None:
        """Return what is sent instead of ``reply``; ``None`` where the connection is reset."""
        return reply


@attrs.frozen
class Delay(Fault):
    """The call is carried out and answered, but ``seconds`` late. They pass before its effect, or after it."""

    seconds: float


@attrs.frozen
class Reset(Fault):
    """The connection is reset (a TCP RST) without a reply."""

    def distort(self, reply: Reply) -> None:
        """See `Fault.distort`."""


@attrs.frozen
class CutBody(Fault):
    """Only half of the reply's body is sent, then the connection is closed; its Content-Length is that of the whole.

    A reply without a body gets one first: a 204 becomes a 200.
    """

    after_effect: bool = attrs.field(default=True, kw_only=True)

    def distort(self, reply: Reply) -> Reply:
        """See `Fault.distort`."""
        if not reply.body:
            reply = replies.result({})
        return attrs.evolve(reply, sent=len(reply.body) // 2)


@attrs.frozen
class HtmlPage(Fault):
    """A proxy answers with an HTML page of its own."""

    status: int = 502

    def distort(self, reply: Reply) -> Reply:  # noqa: ARG002 - the page takes its place
        """See `Fault.distort`."""
        return replies.page(self.status, f"{self.status} {HTTPStatus(self.status).phrase}")


@attrs.frozen
class ServerError(Fault):
    """The platform reports an error of its own; by default that it is congested."""

    status: int = 503
    code: str = "100501"

    def distort(self, reply: Reply) -> Reply:  # noqa: ARG002 - the error takes its place
        """See `Fault.distort`."""
        return replies.error(self.status, self.code, "The server is busy or in error.")


@attrs.frozen
class WrongContentType(Fault):
    """The call is carried out and answered, but the body is declared to be of ``content_type``."""

    content_type: str = "text/plain"
    after_effect: bool = attrs.field(default=True, init=False)

    def distort(self, reply: Reply) -> Reply:
        """See `Fault.distort`."""
        return attrs.evolve(reply, headers=(("Content-Type", self.content_type),))


@attrs.frozen
class ErrorIn200(Fault):
    """The call is not carried out, and the error comes in the body of a 200."""

    code: str = "50252"
    description: str = "Server internal error."
    after_effect: bool = attrs.field(default=False, init=False)

    def distort(self, reply: Reply) -> Reply:  # noqa: ARG002 - the error takes its place
        """See `Fault.distort`."""
        return replies.error(200, self.code, self.description)


@attrs.frozen
class CannedReply(Fault):
    """The reply is exactly this. A body without a type in ``headers`` is sent as ``application/octet-stream``."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    def distort(self, reply: Reply) -> Reply:  # noqa: ARG002 - the canned reply takes its place
        """See `Fault.distort`."""
        return Reply(self.status, self.body, self.headers)


@attrs.frozen
class Rejection(Fault):
    """The call is not carried out, and the platform says so by this error; see `Simulator.reject`."""

    code: str
    after_effect: bool = attrs.field(default=False, init=False)

    def distort(self, reply: Reply) -> Reply:  # noqa: ARG002 - the error takes its place
        """See `Fault.distort`."""
        return replies.REJECTIONS[self.code]


@attrs.define
class _Script:
    """A fault for the next calls that match. Mutable: ``times``, which counts down."""

    fault: Fault
    method: str | None
    path: str
    times: int


class FaultPlan:
    """Chooses the fault of a call: a scripted one first, else one drawn by chance.

    Mutable: the scripted faults that have not been used up, and the ids that are rejected.
    """

    def __init__(self, chances: Mapping[Fault, float], chance: random.Random) -> None:
        if min(chances.values(), default=0) < 0 or sum(chances.values()) > 1:
            raise ValueError("the chances of faults must not be negative, nor exceed 1 together")
        self._chances = dict(chances)
        self._chance = chance
        self._scripts: list[_Script] = []
        self._rejected: dict[str, Rejection] = {}

    def script(self, fault: Fault, *, method: str | None, path: str, times: int) -> None:
        """See `Simulator.script`."""
        if times < 1:
            raise ValueError("a scripted fault must concern at least one call")
        self._scripts.append(_Script(fault, method, path, times))

    def reject(self, ids: Iterable[str], code: str | None) -> None:
        """See `Simulator.reject`."""
        if isinstance(ids, str):
            raise ValueError(f"ids must be several ids, not one string: [{ids!r}]")  # noqa: TRY004 - as documented
        if code is not None and code not in replies.REJECTIONS:
            hint = " (for flow control there is throttle)" if code == replies.THROTTLED.code else ""
            raise ValueError(f"code must be one of {', '.join(replies.REJECTIONS)}, not {code!r}{hint}")
        for identifier in new_ids(list(ids), str):
            if code is None:
                self._rejected.pop(identifier, None)
            else:
                self._rejected[identifier] = Rejection(code)

    def choose(self, method: str, target: str, item_id: str | None, *, scripted_only: bool) -> Fault | None:
        """Return the fault, if any, of a call to ``target``, path and query as on the wire.

        Of several scripted faults that match, the call gets the one scripted first, and uses up one of its times.
        """
        path = unquote(target.partition("?")[0])
        for script in self._scripts:
            if script.method in {None, method} and script.path in path:
                script.times -= 1
                if not script.times:
                    self._scripts.remove(script)
                return script.fault
        if item_id is not None and item_id in self._rejected:
            return self._rejected[item_id]
        if scripted_only or not self._chances:
            return None
        drawn = self._chance.random()
        for fault, probability in self._chances.items():
            if drawn < probability:
                return fault
            drawn -= probability
        return None
