"""The command line as a whole."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

import atlascore
from atlascore.cli import main


def run(*arguments):
    return CliRunner().invoke(main, arguments)


def test_version():
    assert run("--version").output == f"atlascore {atlascore.__version__}\n"


def test_help_lists_the_commands_that_exist():
    output = run("--help").output
    assert "demo" in output and "scan" in output
    assert main.list_commands(None) == ["demo", "scan"]


@pytest.mark.parametrize("command", main.list_commands(None))
def test_every_command_has_help_with_an_example(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"Example: atlascore {command}" in result.output


@pytest.mark.parametrize("arguments", [("stroll",), ("demo", "--loud"), ("scan", "--quickly", "a.jsonl")])
def test_wrong_usage_is_exit_status_2(arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert "--help" in result.stderr


def test_help_loads_nothing_heavy():
    heavy = ["sklearn", "uvicorn", "starlette", "httpx", "rich.console"]
    code = (
        "import sys; from atlascore.cli import main; main(['--help'], standalone_mode=False);"
        f"sys.exit(str([name for name in {heavy} if name in sys.modules] or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == ""
