"""No id reaches another resource than its own, whatever stands before the platform."""

import asyncio
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ports import free_port
from shell import SECRET as SHELL_SECRET
from shell import served
from support import APP, run, session

import aionorth
from aionorth import Outcome
from aionorth.simulator import Simulator

PARTS = (
    *(
        ".",
        "..",
        "/",
        "\\",
        "//",
        "%2e",
        "%2E%2e",
        "%2f",
        "%5C",
        "%252e",
        "%252F",
        "%",
        "%25",
        ";",
        ";a=b",
        "?",
        "#",
        "&",
    ),
    *(
        "x",
        "y",
        "victim",
        "subscriptions",
        "category",
        " ",
        "\uff0e",
        "\uff0f",
        "\u2025",
        "%c0%ae",
        "%00",
        "+",
        "~",
        "*",
    ),
)
walking = st.lists(st.sampled_from(PARTS), min_size=1, max_size=7).map("".join)
ids = st.one_of(walking, st.text(min_size=1, max_size=20))


def others(id_: str) -> set[str]:
    """Ids of other resources, those among them that `id_` seems to name."""
    readings = {id_, unquote(id_), unquote(unquote(id_))}
    near = {part for reading in readings for part in re.split(r"[/\\;?#]", reading)} | readings
    plain = {one for one in near if 0 < len(one) <= 256 and one.isprintable()}
    return {"victim", "x", "y", "subscriptions", *plain} - {id_}


async def deleted_alone(id_: str, platform: Simulator, north: aionorth.NorthSession) -> None:
    """Delete `id_` as a subscription and as a package; see that nothing else is gone, and that what is said is true."""
    there = {id_} if 0 < len(id_) <= 256 and id_.isprintable() else set[str]()
    bystanders = others(id_)
    platform.add_subscriptions([*bystanders, *there])
    platform.add_packages([*bystanders, *there])
    for delete, left in (
        (north.delete_subscriptions, platform.subscription_ids),
        (north.delete_upgrade_packages, platform.package_ids),
    ):
        arrived = len(platform.arrivals)
        try:
            (result,) = (await delete([id_])).results
        except aionorth.InvalidIdError:
            assert len(platform.arrivals) == arrived
            assert left() >= bystanders | there
            continue
        assert left() >= bystanders
        if result.outcome is Outcome.DELETED:
            assert id_ not in left()
        if result.outcome is Outcome.NOT_FOUND:
            assert id_ not in there


EXAMPLES = (
    *("x/../../subscriptions", "../subscriptions/victim", "./victim", "victim/.", "/victim", "victim/"),
    *("..%2f..%2fsub/v1.2.0/subscriptions", "%76ictim", "a/b"),
)


def with_examples(test: Callable[..., None]) -> Callable[..., None]:
    """Have `test` tried with the examples too."""
    for id_ in EXAMPLES:
        test = example(id_=id_)(test)
    return test


@pytest.mark.parametrize("tidy_paths", [False, True])
@with_examples
@given(id_=ids)
def test_an_id_reaches_its_own_resource_or_none(tidy_paths: bool, id_: str) -> None:
    async def main() -> None:
        async with Simulator(calls=None, tidy_paths=tidy_paths) as platform:
            async with session(platform, token=platform.issue_token()) as north:
                await deleted_alone(id_, platform, north)

    run(main())


# --- Behind a real nginx

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
CONFIGURATION = """
daemon off;
master_process off;
pid "{directory}/nginx.pid";
error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path "{directory}/body";
    proxy_temp_path "{directory}/proxy";
    fastcgi_temp_path "{directory}/fastcgi";
    uwsgi_temp_path "{directory}/uwsgi";
    scgi_temp_path "{directory}/scgi";
    underscores_in_headers on;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass {platform}/;
        }}
    }}
}}
"""
"""With a URI in `proxy_pass`, be it ``/``, nginx decodes the path, tidies it up, and encodes it anew."""


@pytest.fixture
def fronted(tmp_path: Path) -> Iterator[tuple[Simulator, str]]:
    """A platform behind nginx, and the URL of that."""
    if NGINX is None:
        pytest.skip("nginx is not installed")
    port = free_port()
    with served({APP: SHELL_SECRET}, calls=None) as platform:
        file = tmp_path / "nginx.conf"
        file.write_text(CONFIGURATION.format(directory=tmp_path, port=port, platform=platform.url))
        with subprocess.Popen([NGINX, "-p", str(tmp_path), "-c", str(file)], stderr=subprocess.DEVNULL) as nginx:
            try:
                until = time.monotonic() + 10
                while time.monotonic() < until:
                    try:
                        socket.create_connection(("127.0.0.1", port), 1).close()
                        break
                    except ConnectionRefusedError:
                        time.sleep(0.02)
                yield platform, f"http://127.0.0.1:{port}"
            finally:
                nginx.terminate()


def token_of(platform: Simulator) -> str:
    async def main() -> str:  # the simulator asks a loop for the time, which is the same to all
        return platform.issue_token()

    return asyncio.run(main())


FAST = aionorth.FlowControl(1_000_000, 60.0)


@pytest.mark.slow
def test_an_id_reaches_its_own_resource_or_none_behind_nginx(fronted: tuple[Simulator, str]) -> None:
    platform, url = fronted
    token = token_of(platform)
    tried = list[str]()

    @settings(max_examples=300)
    @with_examples
    @given(id_=ids)
    def no_other_is_reached(id_: str) -> None:
        async def main() -> None:
            async with aionorth.NorthSession(url, app_id=APP, token=token, flow_control=FAST) as north:
                await deleted_alone(id_, platform, north)

        asyncio.run(main())
        tried.append(id_)

    no_other_is_reached()
    assert len(tried) >= 300
    assert sum(arrival.status in {200, 204} for arrival in platform.arrivals) > 50


@pytest.mark.slow
def test_nginx_would_make_a_step_in_an_id_a_call_on_everything(fronted: tuple[Simulator, str]) -> None:
    """What the test above is about is there: sent by a client that looks at no id, all is gone."""
    platform, url = fronted
    platform.add_subscriptions(["one", "two"])
    path = "/iocm/app/sub/v1.2.0/subscriptions/x%2F%2E%2E%2F%2E%2E%2Fsubscriptions"
    headers = {"app_key": APP, "Authorization": f"Bearer {token_of(platform)}"}
    request = urllib.request.Request(url + path, method="DELETE", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as reply:
        assert reply.status == 204
    assert not platform.subscription_ids()
