"""How the program starts: fast, with nothing it does not need, and known to kopf."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zanith import __version__
from zanith.main import main

OPERATOR = Path(__file__).resolve().parents[2] / "operator"
HEAVY = {"psycopg", "pydantic", "postgast", "kopf", "kubernetes", "rich", "yaml", "asyncio"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(OPERATOR)}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_help_answers_in_less_than_0_3_s_of_cpu() -> None:
    times = (
        "import os, sys; from zanith.main import main; main(['--help']); print(sum(os.times()[:2]), file=sys.stderr)"
    )
    spent = min(float(run("-c", times).stderr) for _ in range(3))
    assert spent < 0.3


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        (["--help"], HEAVY),
        # The CLI framework itself loads pydantic to read options.
        (["migrate", "history", "--help"], HEAVY - {"pydantic"}),
        (["--version"], HEAVY - {"pydantic"}),
    ],
)
def test_help_needs_neither_driver_nor_parser(arguments: list[str], unneeded: set[str]) -> None:
    program = f"import sys; from zanith.main import main; main({arguments}); print(*sys.modules, file=sys.stderr)"
    loaded = set(run("-c", program).stderr.split())
    assert "typer" in loaded
    assert not loaded & unneeded


def test_a_job_starts_without_the_command_line() -> None:
    program = (
        "import sys\nfrom zanith.main import main\ntry:\n    main(['run', '--help'])\n"
        "finally:\n    print(*sys.modules, file=sys.stderr)"
    )
    done = run("-c", program)
    loaded = set(done.stderr.split())
    assert "--termination-log" in done.stdout
    assert "zanith.execution.runner" in loaded
    assert not loaded & {"typer", "rich", "yaml", "kopf", "kubernetes"}


def test_kopf_finds_the_handlers_in_the_module() -> None:
    program = "import sys; import kopf.cli; import zanith.main; print('zanith.controller.handlers' in sys.modules)"
    assert run("-c", program).stdout == "True\n"


def test_without_kopf_nobody_loads_the_handlers() -> None:
    program = "import sys; import zanith.main; print('zanith.controller' in sys.modules)"
    assert run("-c", program).stdout == "False\n"


def test_the_program_says_which_version_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"zanith {__version__}\n"


def test_as_a_plugin_of_kubectl_it_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/local/bin/kubectl-zanith", "migrate", "--help"])
    assert main() == 0
    assert "Usage: kubectl zanith migrate [OPTIONS]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["migrat"], "No such command 'migrat'"),
        (["migrate", "plan"], "Missing option '--file'"),
        (["migrate", "history", "--dns", "x"], "No such option: --dns"),
    ],
)
def test_a_wrong_call_ends_with_2(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_an_expected_error_ends_with_its_own_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ZANITH_DSN", raising=False)
    assert main(["migrate", "status"]) == 20
    assert capsys.readouterr().err == "zanith: which database? Give --dsn, --dsn-file or ZANITH_DSN\n"
