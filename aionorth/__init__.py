"""aionorth deletes subscriptions, version packages, devices and device groups from a Huawei-style IoT platform in bulk.

It goes as fast as the app's flow control allows, is never refused for going too fast when it is the app's only caller,
and accounts for every single id.
"""

# ruff: noqa: F403, F405 - the errors need not be named twice; the type checkers see through the star

__version__ = "0.1.0"

# The comments are the topics of the API reference, which has the names in this order.
__all__ = [
    "__version__",
    # Session
    "NorthSession",
    "RetryPolicy",
    "GivenToken",
    "Checkup",
    "Finding",
    "Verdict",
    # Deleting
    "BulkDelete",
    "Ids",
    "Collect",
    # Outcomes
    "Outcome",
    "DeleteResult",
    "DeleteSummary",
    # Selections and plans
    "SubscriptionSelection",
    "PackageSelection",
    "DeviceSelection",
    "DeviceGroupSelection",
    "Selection",
    "Plan",
    "Kept",
    "Along",
    "BatchDelete",
    "Target",
    "Kind",
    # What the platform lists
    "Subscription",
    "UpgradePackage",
    "Device",
    "DeviceGroup",
    # Own calls
    "NorthReply",
    "Slot",
    # Flow control
    "FlowControl",
    "FlowState",
    # Stores
    "MachineStore",
    "RedisStore",
    # Errors
    "NorthError",
    "NorthWarning",
    # Errors of use
    "ArgumentError",
    "InvalidIdError",
    "SettingsError",
    "SessionStateError",
    "JournalError",
    "StoreError",
    "StoreUnavailableError",
    # Errors of a bulk run
    "BulkError",
    "BulkAbortedError",
    "BulkFailedError",
    "TooManyFailuresError",
    # Errors of the connection
    "NorthConnectionError",
    "OutageError",
    "HostNotFoundError",
    "ProxyError",
    "TlsError",
    "ReplyLostError",
    "ReplyTimeoutError",
    # Errors of the platform
    "NorthApiError",
    "BadRequestError",
    "FlowControlError",
    "InvalidTokenError",
    "TokenEvictedError",
    "AppNotAuthorizedError",
    "CredentialsError",
    "AppKeyMissingError",
    "AppNotFoundError",
    "AppFrozenError",
    "NotFoundError",
    "SubscriptionNotFoundError",
    "PackageNotFoundError",
    "DeviceNotFoundError",
    "DeviceGroupNotFoundError",
    "TooManyResultsError",
    "PageOutOfRangeError",
    "ServerError",
    "CongestionError",
    "GatewayError",
]

TYPE_CHECKING = False  # not from typing, which takes longer to import than all that is here
if TYPE_CHECKING:
    from aionorth.auth.sources import GivenToken
    from aionorth.bulk.intake import Ids
    from aionorth.bulk.retry import RetryPolicy
    from aionorth.bulk.run import BulkDelete
    from aionorth.errors import *
    from aionorth.flow.settings import FlowControl, FlowState
    from aionorth.items import Device, DeviceGroup, Kind, Subscription, Target, UpgradePackage
    from aionorth.models import Collect, DeleteResult, DeleteSummary, Outcome
    from aionorth.purge.device_selections import DeviceGroupSelection, DeviceSelection
    from aionorth.purge.plan import Along, Kept, Plan
    from aionorth.purge.selections import BatchDelete, PackageSelection, Selection, SubscriptionSelection
    from aionorth.session.checkup import Checkup, Finding, Verdict
    from aionorth.session.north import NorthSession
    from aionorth.session.own_calls import NorthReply, Slot
    from aionorth.stores.machine import MachineStore
    from aionorth.stores.redis import RedisStore
else:
    # Each name is imported when it is asked for: the command line must be able to say what Ctrl-C does before aiohttp
    # is imported, and a program that only deletes does not need SQLite. The modules are in the order of the wings: what
    # is imported on the way to a name is mostly what its own module imports anyway.
    _MODULES = (
        *("errors", "items", "models", "flow.settings", "auth.sources", "bulk.retry", "bulk.intake", "bulk.run"),
        *(
            "purge.selections",
            "purge.device_selections",
            "purge.plan",
            "session.checkup",
            "session.own_calls",
            "session.north",
            "stores.redis",
            "stores.machine",
        ),
    )

    def __getattr__(name: str) -> object:
        from importlib import import_module  # noqa: PLC0415 - as above

        if name in {"errors", "items", "models"}:
            return import_module(f"{__name__}.{name}")
        for module in _MODULES if name in __all__ else ():
            if (found := getattr(import_module(f"{__name__}.{module}"), name, None)) is not None:
                return globals().setdefault(name, found)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
