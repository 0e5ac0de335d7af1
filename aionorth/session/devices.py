"""The public calls on devices and device groups."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime

from aionorth.bulk.intake import Ids
from aionorth.bulk.retry import RetryPolicy
from aionorth.bulk.run import DRAIN_TIMEOUT, WORKERS, BulkDelete, RunOptions
from aionorth.items import Device, DeviceGroup
from aionorth.models import Collect, DeleteResult, DeleteSummary
from aionorth.purge.device_selections import DeviceSelection
from aionorth.purge.listing import Reading, list_items
from aionorth.session.deleting import Deleting
from aionorth.wire import requests
from aionorth.wire.checks import optional_string
from aionorth.wire.replies import read_one
from aionorth.wire.resources import DEVICE_GROUPS, DEVICES


class Devices(Deleting):
    """A session with the calls on devices and device groups."""

    # --- Deleting

    async def delete_device(
        self,
        device_id: str,
        *,
        cascade: bool,
        authorized_app_id: str | None = None,
        missing_ok: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - of each attempt
        retry: RetryPolicy | bool | None = None,
    ) -> DeleteResult:
        """Delete one device: ``DELETE /iocm/app/dm/v1.4.0/devices/{deviceId}``.

        Takes, returns and raises the same as `delete_subscription`, with `DeviceNotFoundError` where there is no such
        device.

        Args:
            device_id: String(256), allocated by the platform when the device was registered.
            cascade: Whether the devices behind it, if it is a gateway, are deleted with it; else they stay, as directly
                connected ones. It has no default: the platform's own is to take them along.
            authorized_app_id: As for `delete_subscription`: ``appId`` in the query.
            missing_ok: As for `delete_subscription`.
            timeout: As for `delete_subscription`.
            retry: As for `delete_subscription`.
        """
        other = optional_string(authorized_app_id, "authorized_app_id")
        request = requests.delete(DEVICES, device_id, authorized_app_id=other, cascade=cascade)
        return await self._delete(device_id, request, missing_ok=missing_ok, timeout=timeout, retry=retry)

    def delete_devices(
        self,
        ids: Ids,
        *,
        cascade: bool,
        authorized_app_id: str | None = None,
        workers: int = WORKERS,
        collect: Collect = "all",
        grace: float = DRAIN_TIMEOUT,
        max_failures: int | None = None,
        progress: Callable[[DeleteSummary], object] | None = None,
    ) -> BulkDelete:
        """Delete devices in bulk; everything else is as for `delete_subscriptions`.

        With `cascade` an id that is not there is GONE, not NOT_FOUND: a gateway deleted before may have taken it along.
        What else goes with a gateway is neither named nor counted here; a `plan` of a `DeviceSelection` does both.

        Args:
            ids: As for `delete_subscriptions`.
            cascade: As for `delete_device`.
            authorized_app_id: As for `delete_device`, for all of them.
            workers: As for `delete_subscriptions`.
            collect: As for `delete_subscriptions`.
            grace: As for `delete_subscriptions`.
            max_failures: As for `delete_subscriptions`.
            progress: As for `delete_subscriptions`.
        """
        other = optional_string(authorized_app_id, "authorized_app_id")
        options = RunOptions(
            workers=workers, collect=collect, grace=grace, max_failures=max_failures, progress=progress
        )
        return self._bulk(ids, DEVICES, other, options, cascade=cascade)

    async def delete_device_group(
        self,
        dev_group_id: str,
        *,
        authorized_app_id: str | None = None,
        missing_ok: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - of each attempt
        retry: RetryPolicy | bool | None = None,
    ) -> DeleteResult:
        """Delete one device group: ``DELETE /iocm/app/devgroup/v1.3.0/devGroups/{devGroupId}``. Its devices stay.

        `dev_group_id` is a String(50); `authorized_app_id` goes into the query as ``accessAppId``. Takes, returns and
        raises the same as `delete_subscription`, with `DeviceGroupNotFoundError` where there is no such group, which
        the platform says inside an HTTP 200.
        """
        other = optional_string(authorized_app_id, "authorized_app_id")
        request = requests.delete(DEVICE_GROUPS, dev_group_id, authorized_app_id=other)
        return await self._delete(dev_group_id, request, missing_ok=missing_ok, timeout=timeout, retry=retry)

    def delete_device_groups(
        self,
        ids: Ids,
        *,
        authorized_app_id: str | None = None,
        workers: int = WORKERS,
        collect: Collect = "all",
        grace: float = DRAIN_TIMEOUT,
        max_failures: int | None = None,
        progress: Callable[[DeleteSummary], object] | None = None,
    ) -> BulkDelete:
        """Delete device groups in bulk; everything is as for `delete_subscriptions`. Their devices stay."""
        other = optional_string(authorized_app_id, "authorized_app_id")
        options = RunOptions(
            workers=workers, collect=collect, grace=grace, max_failures=max_failures, progress=progress
        )
        return self._bulk(ids, DEVICE_GROUPS, other, options)

    # --- Finding

    def list_devices(
        self,
        *,
        status: str | None = None,
        device_type: str | None = None,
        node_type: str | None = None,
        gateway_id: str | None = None,
        registered_after: datetime | None = None,
        registered_before: datetime | None = None,
        authorized_app_id: str | None = None,
    ) -> AsyncIterator[Device]:
        """List devices: ``GET /iocm/app/dm/v1.4.0/devices``, page by page, as they are iterated, the oldest first.

        The platform filters by the arguments given, and by time to the second. They mean what they mean in a
        `DeviceSelection`. Raises the errors of `get_device`.
        """
        self._opened()
        selection = DeviceSelection(
            cascade=False,
            status=status,
            device_type=device_type,
            node_type=node_type,
            gateway_id=gateway_id,
            registered_after=registered_after,
            registered_before=registered_before,
            authorized_app_id=authorized_app_id,
            everything=True,
        )
        other = selection.authorized_app_id
        return list_items(DEVICES, self._send, selection.filters(), Reading(), authorized_app_id=other)

    def list_device_groups(self, *, authorized_app_id: str | None = None) -> AsyncIterator[DeviceGroup]:
        """List device groups: ``GET /iocm/app/devgroup/v1.3.0/devGroups``, page by page, as they are iterated.

        Raises the errors of `get_device_group`.
        """
        self._opened()
        other = optional_string(authorized_app_id, "authorized_app_id")
        return list_items(DEVICE_GROUPS, self._send, {}, Reading(), authorized_app_id=other)

    async def get_device(
        self,
        device_id: str,
        *,
        authorized_app_id: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - of each attempt
        retry: RetryPolicy | bool | None = None,
    ) -> Device:
        """Return one device: ``GET /iocm/app/dm/v1.4.0/devices/{deviceId}``.

        Takes and raises the same as `delete_device`.
        """
        other = optional_string(authorized_app_id, "authorized_app_id")
        request = requests.get(DEVICES, device_id, authorized_app_id=other)
        return read_one(DEVICES, await self._opened().send(request, timeout=timeout, retry=retry))

    async def get_device_group(
        self,
        dev_group_id: str,
        *,
        authorized_app_id: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - of each attempt
        retry: RetryPolicy | bool | None = None,
    ) -> DeviceGroup:
        """Return one device group: ``GET /iocm/app/devgroup/v1.3.0/devGroups/{devGroupId}``.

        Takes and raises the same as `delete_device_group`.
        """
        other = optional_string(authorized_app_id, "authorized_app_id")
        request = requests.get(DEVICE_GROUPS, dev_group_id, authorized_app_id=other)
        return read_one(DEVICE_GROUPS, await self._opened().send(request, timeout=timeout, retry=retry))
