"""The parts of uvicorn that its documentation does not promise and that we stand on: an upgrade must fail here."""

from __future__ import annotations

import inspect

from uvicorn import Config, Server
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Process

from app.serving_processes import ServingProcesses


def test_a_process_that_serves_answers_a_ping_with_whether_it_has_started() -> None:
    process = Process(Config("nowhere:nothing"), [])
    assert "self.always_pong" in inspect.getsource(Process.target)
    assert "self.server.run(sockets)" in inspect.getsource(Process.target)
    for started in (False, True):
        process.server.started = started
        process.parent_conn.send(b"ping")
        assert not process.parent_conn.poll()
        process.pong()
        assert process.parent_conn.poll()
        assert process.parent_conn.recv() is started
    process.parent_conn.close()
    process.child_conn.close()


def test_a_process_is_started_told_and_killed_without_a_wait() -> None:
    process = Process(Config("nowhere:nothing"), [])
    assert (process.pid, process.exitcode) == (None, None)
    assert "self.process.start()" in inspect.getsource(Process.start)
    assert "signal.SIGTERM" in inspect.getsource(Process.terminate)
    assert "self.process.kill()" in inspect.getsource(Process.kill)
    for method in (Process.start, Process.terminate, Process.kill):
        source = inspect.getsource(method)
        assert not any(wait in source for wait in ("join", "poll", "recv", "sleep"))
    process.parent_conn.close()
    process.child_conn.close()


def test_a_failed_start_has_a_status_of_its_own() -> None:
    assert STARTUP_FAILURE not in (0, 1)
    assert "sys.exit(STARTUP_FAILURE)" in inspect.getsource(Server.startup)


def test_the_time_for_an_answer_is_the_one_of_the_configuration() -> None:
    config = Config("nowhere:nothing", workers=3, timeout_worker_healthcheck=20)
    processes = ServingProcesses(config, [])
    assert (processes._wanted, processes._limit) == (3, 20.0)
