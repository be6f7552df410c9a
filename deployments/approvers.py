"""The people who may approve: `python -m firebreak.deployments.approvers enrol NAME`, `list`, `revoke NAME`.

Run it where the system runs. The store and the key of the seeds are those of the home directory; for a store
elsewhere give --store-url, and the worker's key in the environment variable FIREBREAK_APPROVER_KEY.
"""

import argparse
import getpass
import os
import sys
from pathlib import Path

import pyotp
import segno

from firebreak.blocks.store import Store, StoreError, StoreMisconfigured
from firebreak.blocks.store.approvers import KEY_VARIABLE
from firebreak.deployments.home import Home

ISSUER = "Firebreak"


def enrol(args: argparse.Namespace) -> None:
    """Make a seed for NAME and show it once, as a QR code for an authenticator app."""
    store, key = opened(args)
    seed = store.approvers.enrol(args.name, key, getpass.getuser())
    segno.make(pyotp.TOTP(seed, name=args.name, issuer=ISSUER).provisioning_uri()).terminal(compact=True)
    print(f"{args.name}: scan this with an authenticator app, or type its key there: {seed}")
    print("It is shown this one time. Its codes answer the approval form, together with this name.")


def revoke(args: argparse.Namespace) -> None:
    """NAME's codes count no more, nor does an approval that waits for a second one; decisions stand."""
    opened(args)[0].approvers.revoke(args.name, getpass.getuser())
    print(f"{args.name} is revoked")


def show(args: argparse.Namespace) -> None:
    """Who is enrolled, and who was."""
    for each in opened(args)[0].approvers.all():
        line = f"{each.name}: enrolled {each.enrolled_at:%Y-%m-%d %H:%M} UTC by {each.enrolled_by}"
        if each.revoked_at:
            line += f", revoked {each.revoked_at:%Y-%m-%d %H:%M} UTC by {each.revoked_by}"
        elif each.locked_until:
            line += f", wrong codes: locked until {each.locked_until:%Y-%m-%d %H:%M} UTC"
        print(line)


def opened(args: argparse.Namespace) -> tuple[Store, str | None]:
    """The store, and the key of its seeds."""
    if args.store_url:
        return Store(args.store_url), os.environ.get(KEY_VARIABLE)
    if not args.home.is_dir():
        raise StoreMisconfigured(f"{args.home}: there is no system there; start one (make up), or name its --home")
    home = Home.at(args.home)
    return Store(f"sqlite:///{home.store}"), home.approver_key()


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m firebreak.deployments.approvers", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, function in (("enrol", enrol), ("list", show), ("revoke", revoke)):
        command = commands.add_parser(name, help=function.__doc__)
        command.add_argument("--home", type=Path, default=Path(os.environ.get("FIREBREAK_HOME", ".firebreak")))
        command.add_argument("--store-url", help="of a store that isn't in the home directory")
        if name != "list":
            command.add_argument("name", metavar="NAME", help="as it is typed into the form")
        command.set_defaults(run=function)
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        args.run(args)
    except StoreError as error:
        print(f"approvers: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
