"""The commands: arguments in, an exit code out. What they do stands in modules of their own."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from aionorth._version import __version__
from aionorth.bulk import WORKERS
from aionorth.cli import options as opt
from aionorth.cli import settings
from aionorth.cli.deletion import Ended, Job, Kind, carry_out
from aionorth.cli.demo import show_demo
from aionorth.cli.display import View, view_of
from aionorth.cli.exits import ProblemError, reported
from aionorth.cli.ids import read_ids
from aionorth.cli.report import as_json, as_text
from aionorth.cli.serve import Faults, Files, Served, Tls, serve
from aionorth.cli.terminal import Notes, noted, put, say
from aionorth.flow import FlowControl
from aionorth.models import DeleteSummary
from aionorth.session import NorthSession

_FLOW = FlowControl()

_ENVIRONMENT = """\b
Environment:
  AIONORTH_URL      the platform's base URL, as in https://server:8743
  AIONORTH_APP_ID   the app's id
  AIONORTH_SECRET   the app's secret; there is no option for it, because
                    options show in the list of processes"""

_EXIT_CODES = """\b
Exit codes:
  0    all ids are gone from the platform
  1    some are not, or the run ended early
  2    something is missing or cannot be used; nothing was sent
  3    the platform refused the app or its secret
  130  interrupted; the summary tells how far it came"""

_HELP = f"""Delete subscriptions and version packages from a Huawei-style IoT platform in bulk.

As fast as the app's flow control allows and never faster, with an account of every single id.

\b
Examples:
  aionorth demo
  aionorth delete subscriptions --ids-file ids.txt
  aionorth delete packages --ids-file - --json < ids.txt > result.json
  aionorth simulate --write-subscription-ids ids.txt

{_ENVIRONMENT}

{_EXIT_CODES}
"""

_DELETE_HELP = f"""Delete the subscriptions, or the version packages, whose ids a file holds.

The file has one id per line; blank lines and duplicates do not count. It is read whole, and every id is checked before
anything is sent. Ids that the platform does not know count as gone, so a run that was interrupted can simply be
repeated. Ctrl-C finishes the calls in flight and prints the summary; a second one stops at once.

\b
Examples:
  export AIONORTH_URL=https://server:8743 AIONORTH_APP_ID=my-app
  read -rs AIONORTH_SECRET && export AIONORTH_SECRET
  aionorth delete subscriptions --ids-file ids.txt
  aionorth delete packages --ids-file ids.txt --calls 200 --headroom 0.2

\b
With --json, "results" names every id that is not known to be gone:
  aionorth delete packages --ids-file ids.txt --json > result.json
  jq -r '.results[].id' result.json > ids-left.txt

{_ENVIRONMENT}

{_EXIT_CODES}
"""

_DEMO_HELP = """Show a bulk run against a simulated platform on this machine, in about 20 seconds.

Nothing is needed and nothing real is touched: a platform with 300 subscriptions and 200 version packages is played in
this very process, its minutes shortened to 3 seconds, and some of its replies are lost on purpose.
"""

_SIMULATE_HELP = """Serve a simulated platform on this machine until Ctrl-C.

It has the platform's logins, flow control and error codes, subscriptions and version packages to delete, and, if asked,
a network's faults. Its app's secret is "demo-secret".

\b
Examples:
  aionorth simulate --write-subscription-ids ids.txt
  aionorth simulate --calls 100 --period 3 --reset-after 0.05
  aionorth simulate --port 0 --cert server.pem --key server-key.pem
"""

app = typer.Typer(
    help=_HELP,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,  # ids and secrets may hold [brackets]
    pretty_exceptions_enable=False,  # they show local variables
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer passes it so
    if wanted:
        with reported():
            put(f"aionorth {__version__}")
        raise typer.Exit


@app.callback()
def options_of_all(
    *,
    _: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Take what is common to all commands."""


@app.command(help=_DELETE_HELP, short_help="Delete the subscriptions or packages that a file names.")
def delete(
    kind: Annotated[Kind, typer.Argument(metavar="subscriptions|packages", help="What to delete.", show_default=False)],
    *,
    ids_file: opt.IdsFile,
    url: opt.Url = None,
    app_id: opt.AppId = None,
    authorized_app_id: opt.AuthorizedAppId = None,
    calls: opt.Calls = _FLOW.calls,
    period: opt.Period = _FLOW.period,
    headroom: opt.Headroom = _FLOW.headroom,
    burst: opt.Burst = _FLOW.burst,
    workers: opt.Workers = WORKERS,
    json: opt.Json = False,
    ca_file: opt.CaFile = None,
    client_cert: opt.ClientCert = None,
    client_key: opt.ClientKey = None,
    unsafe_accept_any_host_name: opt.AnyHostName = False,
    trust_env: opt.TrustEnv = False,
    timeout: opt.Timeout = 30.0,
) -> None:
    """Delete what a file of ids names."""
    with reported(), noted() as notes:
        if authorized_app_id is not None and kind is not Kind.SUBSCRIPTIONS:
            raise ProblemError("--authorized-app-id is for subscriptions only: leave it out")
        north = settings.session(
            url=url,
            app_id=app_id,
            flow_control=FlowControl(calls=calls, period=period, headroom=headroom, burst=burst),
            ca_file=ca_file,
            client_cert=client_cert,
            client_key=client_key,
            any_host_name=unsafe_accept_any_host_name,
            trust_env=trust_env,
            timeout=timeout,
        )
        job = Job(
            kind=kind,
            ids=read_ids(ids_file, kind.id_name),
            authorized_app_id=authorized_app_id,
            workers=workers,
        )
        if job.ids:
            target = f"{settings.setting(settings.APP_ID, app_id)} at {settings.setting(settings.URL, url)}"
            ended = asyncio.run(_deleted(job, north, view_of(f"Deleting {kind.value} of {target}"), notes))
        else:
            say(f"aionorth: {ids_file} holds no ids: there is nothing to delete")
            ended = Ended(kind=kind, summary=DeleteSummary())
        try:
            if json:
                put(as_json(ended))
            elif job.ids:
                put(as_text(ended))
        except OSError:
            say(f"{ended.summary}")  # the account of a run must not be lost
            raise
        if ended.reason is not None:
            say(f"aionorth: {ended.reason}")
        elif 0 < ended.summary.total == ended.summary.not_found:
            say(f"aionorth: the platform knows none of these ids: are they {kind.value} of this app?")
        raise typer.Exit(ended.exit_code)


async def _deleted(job: Job, north: NorthSession, view: View, notes: Notes) -> Ended:
    async with north:
        return await carry_out(job, north, view, notes)


@app.command(help=_DEMO_HELP, short_help="Watch a run against a simulated platform; 20 seconds.")
def demo() -> None:
    """Show what this is."""
    with reported(), noted() as notes:
        raise typer.Exit(show_demo(notes))


@app.command(help=_SIMULATE_HELP, short_help="Serve a simulated platform to try things on.")
def simulate(
    *,
    host: opt.Host = "127.0.0.1",
    port: opt.Port = 8743,
    calls: opt.Threshold = _FLOW.calls,
    period: opt.Period = _FLOW.period,
    model: opt.Model = "sliding",
    subscriptions: opt.Subscriptions = 1000,
    packages: opt.Packages = 1000,
    app_id: opt.SimulatedAppId = "demo-app",
    write_subscription_ids: opt.SubscriptionIds = None,
    write_package_ids: opt.PackageIds = None,
    seed: opt.Seed = 0,
    cert: opt.Cert = None,
    key: opt.Key = None,
    client_ca: opt.ClientCa = None,
    latency: opt.Latency = 0.0,
    reset_before: opt.ResetBefore = 0.0,
    reset_after: opt.ResetAfter = 0.0,
    congested: opt.Congested = 0.0,
    bad_gateway: opt.BadGateway = 0.0,
    retry_after: opt.RetryAfter = False,
) -> None:
    """Serve the simulator."""
    served = Served(
        host=host,
        port=port,
        calls=calls,
        period=period,
        model=model,
        subscriptions=subscriptions,
        packages=packages,
        app_id=app_id,
        seed=seed,
        latency=latency,
        retry_after=retry_after,
        faults=Faults(reset_before=reset_before, reset_after=reset_after, congested=congested, bad_gateway=bad_gateway),
        tls=Tls(cert=cert, key=key, client_ca=client_ca),
    )
    with reported():
        asyncio.run(serve(served, Files(subscriptions=write_subscription_ids, packages=write_package_ids)))
