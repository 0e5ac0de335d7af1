"""The commands: arguments in, an exit code out. What they do stands in modules of their own."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from aionorth import __version__
from aionorth.cli import settings
from aionorth.cli.commands import check as checking
from aionorth.cli.commands import delete as commands
from aionorth.cli.commands import options as opt
from aionorth.cli.commands.bundles import bundled
from aionorth.cli.commands.demo import show_demo
from aionorth.cli.commands.grouped import GroupedCommand, GroupedCommands
from aionorth.cli.commands.help import ENVIRONMENT, EXIT_CODES
from aionorth.cli.commands.simulate import Faults, Files, Served, Tls, serve
from aionorth.cli.output.exits import ProblemError, reported
from aionorth.cli.output.terminal import noted, put
from aionorth.cli.settings.options import FLOW, Given
from aionorth.cli.settings.profiles import config_file
from aionorth.common.text import visible

_HELP = f"""Delete subscriptions and version packages from a Huawei-style IoT platform in bulk.

As fast as the app's flow control allows and never faster, with an account of every single id.

\b
Examples:
  aionorth demo
  aionorth check
  aionorth delete subscriptions --callback-host old.example.com --dry-run
  aionorth delete packages --keep-latest 2 --older-than 90d
  aionorth delete subscriptions --ids-file ids.txt
  aionorth resume purge.jsonl
  aionorth simulate

{ENVIRONMENT}

{EXIT_CODES}
"""


def _profiles_file() -> str:
    try:
        return visible(str(config_file()))
    except ProblemError as exc:
        return f"config.toml ({exc})"


_CHECK_HELP = f"""Test URL, TLS, credentials and clock, and say what is wrong and what to do.

One call logs in, where the store has no token that is accepted; another lists one version package. They wait for their
turn like any others. Nothing is changed on the platform, but a login makes the token of whoever else uses the app
without this store invalid.

\b
Examples:
  aionorth check
  aionorth check --profile prod
  aionorth check --url https://server:8743 --app-id my-app --ca-file ca.pem
  aionorth check --json | jq .findings.clock

{ENVIRONMENT}

\b
Profiles, in {_profiles_file()}:
  [profiles.prod]
  url = "https://server:8743"
  app_id = "my-app"
  secret_file = "prod.secret"    # relative to the directory of this file
  ca_file = "~/ca.pem"
  calls = 200

\b
Exit codes:
  0    all is well; a clock that differs is a warning only
  1    something failed
  2    a setting is missing or cannot be used; nothing was sent
  3    the platform refused the app or its secret
  130  interrupted
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

_ON_PLATFORM, _TO_TRY = "On the platform", "To try things"

app = typer.Typer(
    help=_HELP,
    cls=GroupedCommands,
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


app.add_typer(commands.delete, name="delete", rich_help_panel=_ON_PLATFORM)
app.command(
    help=commands.RESUME_HELP,
    short_help="Go on with a deletion from its journal.",
    cls=GroupedCommand,
    rich_help_panel=_ON_PLATFORM,
)(commands.resume)


@app.command(
    help=_CHECK_HELP,
    short_help="Test URL, TLS, credentials and clock.",
    cls=GroupedCommand,
    rich_help_panel=_ON_PLATFORM,
)
@bundled
def check(*, json: opt.Json = False, given: Given) -> None:
    """Test the connection."""
    with reported(), noted():
        connection = settings.resolve(given)
        checkup = asyncio.run(checking.check(connection))
        put(checking.as_json(checkup, connection) if json else checking.as_text(checkup, connection))
        raise typer.Exit(checking.exit_code(checkup))


@app.command(
    help=_DEMO_HELP,
    short_help="Watch a run against a simulated platform; 20 seconds.",
    cls=GroupedCommand,
    rich_help_panel=_TO_TRY,
)
def demo() -> None:
    """Show what this is."""
    with reported(), noted() as notes:
        raise typer.Exit(show_demo(notes))


@app.command(
    help=_SIMULATE_HELP,
    short_help="Serve a simulated platform to try things on.",
    cls=GroupedCommand,
    rich_help_panel=_TO_TRY,
)
def simulate(
    *,
    host: opt.Host = "127.0.0.1",
    port: opt.Port = 8743,
    calls: opt.Threshold = FLOW.calls,
    period: opt.SimulatedPeriod = FLOW.period,
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
