"""`python -m devstack up | down | status | run SERVICE …`"""

import argparse
import sys


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m devstack", description="The whole product on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start everything, stay until Ctrl-C")
    commands.add_parser("down", help="stop what `up` started")
    commands.add_parser("status", help="say what runs")
    runner = commands.add_parser("run", help="run a service's own command in its place: run billing ledger")
    runner.add_argument("arguments", nargs=argparse.REMAINDER, metavar="SERVICE …")
    chosen = parser.parse_args()
    try:
        # Imported here: a Ctrl-C during the imports is a Ctrl-C like any other.
        from devstack import run

        if chosen.command == "run":
            return run.run(chosen.arguments)
        return {"up": run.up, "down": run.down, "status": run.status}[chosen.command]()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
