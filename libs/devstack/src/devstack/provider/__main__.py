"""`python -m devstack.provider`: an OpenAI-like endpoint that says what it was told, for people who try things."""

import argparse
import asyncio
import contextlib
import sys

from devstack.provider import scripts
from devstack.provider.server import Provider


async def _serve(port: int, brand: str | None) -> None:
    async with Provider(brand=brand, port=port, default=scripts.echo()) as provider:
        sys.stdout.write(f"scripted provider on {provider.base_url} (Ctrl-C stops it)\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """Read the options and serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m devstack.provider", description=__doc__)
    parser.add_argument("--port", type=int, default=8099, help="port on 127.0.0.1; 0 takes a free one (default 8099)")
    parser.add_argument("--brand", help="a name to put into everything that the provider sends")
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(options.port, options.brand))


if __name__ == "__main__":
    main()
