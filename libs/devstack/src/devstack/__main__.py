"""`python -m devstack up | down | status`"""

import argparse
import sys


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m devstack", description="The whole product on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start everything, stay until Ctrl-C")
    commands.add_parser("down", help="stop what `up` started")
    commands.add_parser("status", help="say what runs")
    chosen: str = parser.parse_args().command
    try:
        # Imported here: a Ctrl-C during the imports is a Ctrl-C like any other.
        from devstack import run

        return {"up": run.up, "down": run.down, "status": run.status}[chosen]()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
