"""A simulated platform: an HTTP server on this machine to test a northbound client against.

    async with Simulator(calls=100, model="fixed") as platform:
        file_ids = platform.add_packages(250)
        platform.script(Reset(after_effect=True), method="DELETE", path=file_ids[0])
        ...  # point a client at platform.url
        assert not platform.package_ids()

It shares no code with the client of this package, so that the two cannot agree on a mistake.
"""

from aionorth.simulator.arrivals import Arrival
from aionorth.simulator.faults import (
    CannedReply,
    CutBody,
    Delay,
    ErrorIn200,
    Fault,
    HtmlPage,
    Rejection,
    Reset,
    ServerError,
    WrongContentType,
)
from aionorth.simulator.outage import OutageKind
from aionorth.simulator.replies import Reply
from aionorth.simulator.simulator import Simulator
from aionorth.simulator.throttle import (
    MODELS,
    FixedWindow,
    SlidingWindow,
    SlidingWindowCounter,
    SlidingWindowWithRefusals,
    SmallBurst,
    Throttle,
    TokenBucket,
    TwoLimits,
)

__all__ = [
    # The platform
    "Simulator",
    "Arrival",
    # What may go wrong
    "Fault",
    "OutageKind",
    "Reply",
    "CannedReply",
    "CutBody",
    "Delay",
    "ErrorIn200",
    "HtmlPage",
    "Rejection",
    "Reset",
    "ServerError",
    "WrongContentType",
    # Ways of counting
    "MODELS",
    "Throttle",
    "FixedWindow",
    "SlidingWindow",
    "SlidingWindowWithRefusals",
    "SlidingWindowCounter",
    "TokenBucket",
    "SmallBurst",
    "TwoLimits",
]
