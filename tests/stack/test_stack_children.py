import os
import socket
import sys
from dataclasses import replace
from pathlib import Path
from signal import SIGTERM, SIGWINCH

import pytest

from ops.stack.children import family, identify, is_alive, kill, stop, working_in
from ops.stack.ports import free_port, is_free, listened_by
from tests.stack.builders import A_PARENT, DEAF, LISTENING, TELLING, WAITING, a_child, what_it_said


def test_a_child_leads_a_session_of_its_own_so_that_it_outlives_the_command_line(tmp_path: Path) -> None:
    with a_child(tmp_path, WAITING) as child:
        assert os.getsid(child.pid) == child.pid


def test_a_child_inherits_no_settings_meant_for_other_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGDATA", "/somewhere/else")
    with a_child(tmp_path, f"import os; print(sorted(os.environ))\n{WAITING}"):
        assert "PGDATA" not in (tmp_path / "child.log").read_text("utf-8")


def test_a_process_that_merely_has_the_number_of_a_former_child_is_never_signalled(tmp_path: Path) -> None:
    with a_child(tmp_path, TELLING) as bystander:
        former = replace(bystander, started=bystander.started - 1)
        assert not is_alive(former)
        assert stop(former, SIGTERM, patience_seconds=0)
        kill(former)
        os.kill(bystander.pid, SIGWINCH)
        assert "asked to end" not in what_it_said(tmp_path, until="poked")
        assert is_alive(bystander)


def test_a_process_with_the_number_and_start_of_a_child_before_the_last_boot_is_another(
    tmp_path: Path,
) -> None:
    with a_child(tmp_path, WAITING) as bystander:
        before_boot = replace(bystander, boot="an earlier one")
        kill(before_boot)
        assert not is_alive(before_boot)
        assert is_alive(bystander)


def test_a_child_that_ended_is_not_alive_though_nobody_waited_for_it(tmp_path: Path) -> None:
    with a_child(tmp_path, WAITING) as child:
        os.kill(child.pid, SIGTERM)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert identify(child.pid) is None
        assert not is_alive(child)


def test_a_child_that_ignores_the_request_to_end_is_killed_with_its_descendants(tmp_path: Path) -> None:
    with a_child(tmp_path, f"import signal; signal.signal(15, signal.SIG_IGN)\n{A_PARENT}", DEAF) as child:
        relatives = family(child)
        assert len(relatives) == 2
        assert not stop(child, SIGTERM, patience_seconds=0.2)
        assert not any(map(is_alive, relatives))


def test_what_works_in_a_folder_is_found_by_program_and_folder(tmp_path: Path) -> None:
    program = Path(sys.executable).resolve().name
    with a_child(tmp_path, WAITING) as child:
        assert working_in(tmp_path, program) == [child]
        assert working_in(tmp_path, "postgres") == []
        assert working_in(tmp_path.parent, program) == []


def test_the_port_a_child_listens_on_is_its_own(tmp_path: Path) -> None:
    port = free_port("a child")
    with a_child(tmp_path, LISTENING, str(port)) as child:
        assert listened_by(port, [child.pid])


def test_the_port_a_descendant_listens_on_belongs_to_the_family(tmp_path: Path) -> None:
    port = free_port("a descendant")
    with a_child(tmp_path, A_PARENT, LISTENING, str(port)) as child:
        assert not listened_by(port, [child.pid])
        assert listened_by(port, [one.pid for one in family(child)])


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_port_on_which_somebody_else_listens_is_not_taken_for_the_childs(tmp_path: Path, host: str) -> None:
    with a_child(tmp_path, WAITING) as child, socket.create_server((host, 0)) as foreign:
        port = foreign.getsockname()[1]
        assert not listened_by(port, [child.pid])
        assert not is_free(port)


def test_a_port_on_which_nobody_listens_is_nobodys(tmp_path: Path) -> None:
    with a_child(tmp_path, WAITING) as child:
        assert not listened_by(free_port("nobody"), [child.pid])


def test_a_free_port_stays_the_same_for_a_seed_until_it_is_taken() -> None:
    port = free_port("seed")
    assert free_port("seed") == port
    with socket.create_server(("127.0.0.1", port)):
        assert free_port("seed") != port


def test_a_free_port_is_none_that_the_kernel_gives_to_outgoing_connections() -> None:
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    assert all(free_port(f"seed {number}") < first_outgoing for number in range(20))
