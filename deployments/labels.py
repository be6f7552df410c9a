"""The texts that verdicts have labelled: write them down for the trainer, or delete a user's.

python -m firebreak.deployments.labels export FILE     JSON lines; the file is new, of mode 0600
python -m firebreak.deployments.labels forget USER     deletes every text out of this user's records
"""

import argparse
import json
import os
import sys
from pathlib import Path

import httpx
from prefect.exceptions import PrefectException

from firebreak.blocks.store import Store, StoreError
from firebreak.blocks.store.labels import ATTACK
from firebreak.flows.shared import open_store


def export(store: Store, file: Path) -> int:
    """One JSON object a line, as the trainer reads it; how many. Errors: FileExistsError, OSError."""
    labels = store.labels.all()
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as out:
        for label in labels:
            row = {
                "text": label.text,
                "label": label.label,
                "source": "verdicts",
                "kind": "attack" if label.label == ATTACK else "false-alarm",
                "group": f"incident-{label.incident_id}",
                "labelled_by": label.labelled_by,
                "labelled_at": label.labelled_at.isoformat(),
            }
            out.write(json.dumps(row) + "\n")
    return len(labels)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m firebreak.deployments.labels",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("export").add_argument("file", type=Path)
    commands.add_parser("forget").add_argument("user")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        store = open_store()
        if args.command == "export":
            print(f"{args.file}: {export(store, args.file)} labelled text(s); read them before you train on them")
        else:
            print(f"{store.labels.forget(args.user)} text(s) of {args.user} deleted; the log and evidence keep theirs")
    except OSError as error:
        print(f"labels: {error}; name a new file in a folder that you can write", file=sys.stderr)
        return 2
    except (StoreError, ValueError) as error:
        print(f"labels: {error}", file=sys.stderr)
        return 2
    except (PrefectException, httpx.HTTPError) as error:
        print(
            f"labels: Prefect's API: {error}\nDoes the server run, and does PREFECT_API_URL name it?", file=sys.stderr
        )
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
