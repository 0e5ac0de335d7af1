"""aionorth deletes subscriptions and version packages from a Huawei-style IoT platform in bulk.

It goes as fast as the app's flow control allows, is never refused for going too fast when it is the app's only caller,
and accounts for every single id.
"""

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
    NorthApiError,
    NorthConnectionError,
    NorthError,
    NorthWarning,
    NotFoundError,
    PackageNotFoundError,
    ReplyLostError,
    ReplyTimeoutError,
    ServerError,
    SessionStateError,
    SubscriptionNotFoundError,
    TlsError,
    TokenEvictedError,
)
from aionorth.flow import FlowControl, FlowState
from aionorth.models import Collect, DeleteResult, DeleteSummary, Outcome
from aionorth.retry import RetryPolicy
from aionorth.session import NorthSession

__all__ = [
    "AppFrozenError",
    "AppNotAuthorizedError",
    "AppNotFoundError",
    "ArgumentError",
    "BadRequestError",
    "BulkAbortedError",
    "BulkDelete",
    "BulkError",
    "BulkFailedError",
    "Collect",
    "CongestionError",
    "CredentialsError",
    "DeleteResult",
    "DeleteSummary",
    "FlowControl",
    "FlowControlError",
    "FlowState",
    "GatewayError",
    "GivenToken",
    "HostNotFoundError",
    "Ids",
    "InvalidIdError",
    "InvalidTokenError",
    "NorthApiError",
    "NorthConnectionError",
    "NorthError",
    "NorthSession",
    "NorthWarning",
    "NotFoundError",
    "Outcome",
    "PackageNotFoundError",
    "ReplyLostError",
    "ReplyTimeoutError",
    "RetryPolicy",
    "ServerError",
    "SessionStateError",
    "SubscriptionNotFoundError",
    "TlsError",
    "TokenEvictedError",
    "__version__",
]
