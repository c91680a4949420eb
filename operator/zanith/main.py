"""The entry point: `zanith`, `kubectl zanith`, and the module `kopf run -m zanith.main` loads.

Light on purpose. `zanith run` starts with every Job and goes straight to the runner; the command line is built only for
the commands that need it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

if "kopf.cli" in sys.modules:
    # `kopf run -m zanith.main` has imported us: what it watches for is registered by importing the handlers.
    from zanith.controller import handlers as handlers


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the arguments ask for; the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["run"]:
        from zanith.execution.entry import main as run

        return run(arguments[1:])
    from zanith.cli.app import run_cli

    return run_cli(arguments)


if __name__ == "__main__":
    sys.exit(main())
