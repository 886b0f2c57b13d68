from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ops.cli import COMMANDS, menu
from ops.stack import LocalStack
from ops.stack.project import SETTING


def chatdesk(*arguments: str, **environment: str) -> Result:
    """Run the command line, where no server is given unless the test gives it."""
    given = dict.fromkeys(("CHATDESK_KAFKA", "CHATDESK_DATABASE_URL", "CHATDESK_REDIS_URL", SETTING), "")
    return CliRunner().invoke(menu(), arguments, env=given | environment)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_menu_is_there_and_explains_itself(command: str) -> None:
    told = chatdesk(command, "--help")
    assert told.exit_code == 0, told.output
    assert f" {command} " in told.output


def test_the_menu_lists_every_command() -> None:
    told = chatdesk("--help")
    assert all(command in told.output for command in COMMANDS)


def test_a_command_that_is_not_on_the_menu_is_refused() -> None:
    assert "No such command 'stak'" in chatdesk("stak").output


def test_the_status_of_a_stack_that_was_never_started_says_so_and_makes_nothing(tmp_path: Path) -> None:
    local = tmp_path / "local"
    told = chatdesk("stack", "status", CHATDESK_LOCAL=str(local))
    assert told.exit_code == 1
    assert told.stdout.splitlines() == ["PostgreSQL is down", "Kafka is down", "Redis is down"]
    assert not local.exists()


@pytest.mark.parametrize("command", ["down", "reset"])
def test_there_is_no_harm_in_ending_a_stack_that_was_never_started(tmp_path: Path, command: str) -> None:
    assert chatdesk("stack", command, CHATDESK_LOCAL=str(tmp_path / "local")).exit_code == 0


def test_an_address_that_does_not_answer_is_one_clear_line_and_an_exit_code() -> None:
    told = chatdesk("stack", "up", CHATDESK_REDIS_URL="redis://127.0.0.1:1/0")
    assert told.exit_code == 1
    (line,) = told.stderr.splitlines()
    assert line.startswith("stack: CHATDESK_REDIS_URL=redis://127.0.0.1:1/0 does not answer: ")


@pytest.mark.servers
def test_a_shell_can_take_over_the_addresses(tmp_path: Path) -> None:
    stack = LocalStack(tmp_path / "stack")
    try:
        redis_url = stack.server("redis").start().address
        told = chatdesk("stack", "status", "--env", CHATDESK_LOCAL=str(tmp_path))
        assert told.stdout.splitlines() == [f"export CHATDESK_REDIS_URL={redis_url}"]
        assert (
            f"Redis at {redis_url} (given by CHATDESK_REDIS_URL)"
            in chatdesk(
                "stack", "status", CHATDESK_LOCAL=str(tmp_path / "other"), CHATDESK_REDIS_URL=redis_url
            ).stdout
        )
    finally:
        stack.reset()


def test_a_way_to_run_servers_that_is_none_is_one_clear_line_and_an_exit_code(tmp_path: Path) -> None:
    told = chatdesk("stack", "up", CHATDESK_STACK="podman", CHATDESK_LOCAL=str(tmp_path))
    assert told.exit_code == 1
    assert told.stderr == "stack: CHATDESK_STACK is docker or local, not 'podman'\n"
