"""aionorth deletes subscriptions and version packages from a Huawei-style IoT platform in bulk.

It goes as fast as the app's flow control allows, is never refused for going too fast when it is the app's only caller,
and accounts for every single id.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from aionorth._version import __version__
from aionorth.auth import GivenToken
from aionorth.bulk import BulkDelete, Ids
from aionorth.errors import (
    AppFrozenError,
    AppNotAuthorizedError,
    AppNotFoundError,
    ArgumentError,
    BadRequestError,
    BulkAbortedError,
    BulkError,
    BulkFailedError,
    CongestionError,
    CredentialsError,
    FlowControlError,
    GatewayError,
    HostNotFoundError,
    InvalidIdError,
    InvalidTokenError,
    JournalError,
    NorthApiError,
    NorthConnectionError,
    NorthError,
    NorthWarning,
    NotFoundError,
    PackageNotFoundError,
    PageOutOfRangeError,
    ReplyLostError,
    ReplyTimeoutError,
    ServerError,
    SessionStateError,
    StoreError,
    SubscriptionNotFoundError,
    TlsError,
    TokenEvictedError,
    TooManyResultsError,
)
from aionorth.flow import FlowControl, FlowState
from aionorth.models import (
    Collect,
    DeleteResult,
    DeleteSummary,
    Kind,
    Outcome,
    Subscription,
    Target,
    UpgradePackage,
)
from aionorth.retry import RetryPolicy
from aionorth.session import NorthSession

if TYPE_CHECKING:
    from aionorth.checkup import Checkup, Finding, Verdict
    from aionorth.plan import BatchDelete, Kept, PackageSelection, Plan, SubscriptionSelection
    from aionorth.stores.machine import MachineStore
    from aionorth.stores.redis import RedisStore
else:
    # What a program that only deletes never needs is imported when it is asked for: it would take a third of the time.
    _IN = {
        "aionorth.checkup": ("Checkup", "Finding", "Verdict"),
        "aionorth.plan": ("BatchDelete", "Kept", "PackageSelection", "Plan", "SubscriptionSelection"),
        "aionorth.stores.machine": ("MachineStore",),
        "aionorth.stores.redis": ("RedisStore",),
    }

    def __getattr__(name: str) -> object:
        for module, names in _IN.items():
            if name in names:
                return globals().setdefault(name, getattr(import_module(module), name))
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = [
    "AppFrozenError",
    "AppNotAuthorizedError",
    "AppNotFoundError",
    "ArgumentError",
    "BadRequestError",
    "BatchDelete",
    "BulkAbortedError",
    "BulkDelete",
    "BulkError",
    "BulkFailedError",
    "Checkup",
    "Collect",
    "CongestionError",
    "CredentialsError",
    "DeleteResult",
    "DeleteSummary",
    "Finding",
    "FlowControl",
    "FlowControlError",
    "FlowState",
    "GatewayError",
    "GivenToken",
    "HostNotFoundError",
    "Ids",
    "InvalidIdError",
    "InvalidTokenError",
    "JournalError",
    "Kept",
    "Kind",
    "MachineStore",
    "NorthApiError",
    "NorthConnectionError",
    "NorthError",
    "NorthSession",
    "NorthWarning",
    "NotFoundError",
    "Outcome",
    "PackageNotFoundError",
    "PackageSelection",
    "PageOutOfRangeError",
    "Plan",
    "RedisStore",
    "ReplyLostError",
    "ReplyTimeoutError",
    "RetryPolicy",
    "ServerError",
    "SessionStateError",
    "StoreError",
    "Subscription",
    "SubscriptionNotFoundError",
    "SubscriptionSelection",
    "Target",
    "TlsError",
    "TokenEvictedError",
    "TooManyResultsError",
    "UpgradePackage",
    "Verdict",
    "__version__",
]
