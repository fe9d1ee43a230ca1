"""docs/deployment.md, followed to the letter: an image that is built, a machine that is set up.

Nothing is put in the place of what the page says but the keys, the port of the container, and who
signs the certificate, since no authority would sign one for a host of that name. The service gets a
tool of its own beside, one that takes time.
"""

import json
import os
import shlex
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tests.support.deployment import deployment_page as page
from tests.support.deployment.composed import Composed
from tests.support.deployment.debian_images import make_machine_image, make_python_image
from tests.support.deployment.deployed_container import DOCTOR, Container
from tests.support.deployment.deployed_service import HOST, Service
from tests.support.deployment.docker_engine import DockerEngine, docker_engine
from tests.support.deployment.machine import machine
from tests.support.deployment.pins import for_here, read_pins
from tests.support.patience import patience, wait_until

# The first test that needs an image, or the machine, waits until it is made.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(patience(1800))]

PROXIES = {
    "nginx": ("/etc/nginx/conf.d/runwright.conf", page.NGINX),
    # Without it Caddy would ask an authority beyond this machine for its certificate.
    "caddy": ("/etc/caddy/Caddyfile", f"{{\n\tlocal_certs\n}}\n{page.CADDYFILE}"),
}


@pytest.fixture(scope="module")
def context() -> Iterator[DockerEngine]:
    with docker_engine() as context:
        make_python_image(context)
        yield context


@pytest.fixture(scope="module")
def container(
    context: DockerEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Container]:
    container = Container(context, tmp_path_factory.mktemp("checkout"))
    yield container
    container.client.close()
    context.run("docker rm --force runwright")


@pytest.fixture(scope="module")
def composed(context: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    composed = Composed(context, tmp_path_factory.mktemp("composed"))
    yield composed
    composed.down()


@pytest.fixture(scope="module")
def service(context: DockerEngine) -> Iterator[Service]:
    make_machine_image(context)
    with machine(context) as empty:
        yield Service(empty)


def test_a_container_without_keys_does_not_start(container: Container) -> None:
    told = container.context.run("docker run --rm runwright || echo code $?")
    assert "without keys the server listens on loopback only" in told
    assert told.endswith("code 2")


def test_a_container_finds_itself_healthy(container: Container) -> None:
    [kind, *probe] = json.loads(container.inspect("json .Config.Healthcheck.Test"))
    assert kind == "CMD"
    container.context.run(f"docker exec runwright {shlex.join(probe)}")
    assert "0 fail" in container.context.run(DOCTOR)


def test_a_killed_container_starts_again_and_goes_on(container: Container) -> None:
    accepted = [
        container.client.post("/runs", json={"prompt": f"add a todo to buy {number} apples"})
        for number in range(100)
    ]
    os.kill(int(container.inspect(".State.Pid")), signal.SIGKILL)
    container.await_ready()
    assert container.inspect(".RestartCount") == "1"
    for answer in accepted:
        run_id = answer.json()["run_id"]
        assert (
            container.client.get(f"/runs/{run_id}/wait?timeout=300").json()["status"] == "completed"
        )


def test_a_new_container_has_the_runs_of_the_one_before(container: Container) -> None:
    run_id = container.client.post(
        "/runs/wait?timeout=300", json={"prompt": "what is 6 * 7"}
    ).json()["run_id"]
    stop, remove = page.CONTAINER_UPGRADE.splitlines()
    container.context.run(stop)
    assert container.inspect(".State.ExitCode") == "0"
    container.client.close()
    container.context.run(remove)
    container.start()
    assert container.client.get(f"/runs/{run_id}").json()["result"]["output"] == 42


def test_a_copy_is_fetched_from_a_container(container: Container, tmp_path: Path) -> None:
    prompt = "add a todo to buy bread"
    container.client.post("/runs/wait?timeout=300", json={"prompt": prompt})
    container.context.run(page.CONTAINER_BACKUP, folder=tmp_path)
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copied:
        assert (prompt,) in copied.execute("SELECT prompt FROM runs").fetchall()


def test_an_image_of_ones_own_has_tools_of_ones_own(container: Container, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(page.OWN_TOOLS)
    (tmp_path / "mytools.py").write_text(
        "from tools.registry import tool\n"
        '@tool(phrases=["greet {name}"])\n'
        'def greet(name: str) -> str:\n    """Greet."""\n    return f"good day, {name}"\n'
    )
    container.context.run("docker build --tag mine .", folder=tmp_path)
    assert "good day, Ann" in container.context.run('docker run --rm mine run "greet Ann"')


def test_a_container_lets_nobody_in_without_a_key(container: Container) -> None:
    assert container.client.get("/runs", headers={"x-api-key": "rw_none"}).status_code == 401


def test_the_fleet_of_the_compose_file_goes_on_when_a_worker_is_killed(composed: Composed) -> None:
    """Every run settles, and the worker is there again."""
    workers = composed.containers("worker")
    assert len(workers) == 2
    assert len(composed.containers("server")) == len(composed.containers("postgres")) == 1
    steps = ", then ".join(f"calculate {number} + 1" for number in range(20))
    posted = [composed.client.post("/runs", json={"prompt": steps}) for _ in range(60)]
    assert {answer.status_code for answer in posted} == {201}
    composed.kill(workers[0])
    for answer in posted:
        run_id = answer.json()["run_id"]
        record = composed.client.get(f"/runs/{run_id}/wait?timeout=300").json()
        assert record["status"] == "completed"
        assert len(record["execution_log"]) == 20
    wait_until(lambda: composed.restarts(workers[0]) == 1, otherwise=lambda: composed.compose("ps"))
    assert sorted(composed.containers("worker")) == sorted(workers)


def test_a_stopped_fleet_goes_on_with_what_it_had(composed: Composed) -> None:
    prompt = "add a todo to buy bread"
    run_id = composed.client.post("/runs", json={"prompt": prompt}).json()["run_id"]
    composed.compose("stop worker")
    later = composed.client.post("/runs", json={"prompt": "what is 6 * 7"}).json()["run_id"]
    composed.compose("start worker")
    for one in (run_id, later):
        record = composed.client.get(f"/runs/{one}/wait?timeout=300").json()
        assert record["status"] == "completed"


def test_the_service_file_is_one_that_systemd_reads(service: Service) -> None:
    assert service.machine.run("systemd-analyze verify runwright.service") == ""


def test_the_service_has_the_versions_of_the_constraints(service: Service) -> None:
    """And nothing else."""
    frozen = service.machine.run("/opt/runwright/bin/pip freeze --exclude runwright").splitlines()
    pins = read_pins(ROOT / "constraints.txt")
    here = {f"{name}=={pins[name].version}" for name in for_here(pins)}
    assert {pin.lower().replace("_", "-") for pin in frozen} == here


def test_the_commands_run_beside_the_service(service: Service) -> None:
    assert service.command("runwright doctor").endswith("0 fail, 0 warnings")


def test_a_killed_service_starts_again_and_goes_on(service: Service) -> None:
    """Also in a tool from the folder that it works in."""
    run_id = service.run("sleep 2 seconds, then add a todo to buy milk")
    service.machine.run("systemctl kill --signal KILL runwright")
    service.await_ready()
    assert service.show("NRestarts") == "1"
    assert service.settled(run_id)["status"] == "completed"


def test_a_service_that_cannot_begin_is_left_alone(service: Service) -> None:
    """So that what is wrong stays to be read."""
    service.configure(service.settings + "RUNWRIGHT_PORT=none\n")
    service.machine.run("systemctl restart runwright")
    service.machine.until("systemctl is-failed runwright")
    time.sleep(1)
    assert (service.show("ActiveState"), service.show("NRestarts")) == ("failed", "0")
    logged = service.machine.run("journalctl --unit runwright --output cat")
    assert "RUNWRIGHT_PORT" in logged

    service.configure(service.settings)
    service.machine.run("systemctl restart runwright")
    service.await_ready()


@pytest.fixture(params=PROXIES)
def proxied(request: pytest.FixtureRequest, service: Service) -> Iterator[str]:
    """The name by which the service is reached through a proxy."""
    place, text = PROXIES[request.param]
    service.machine.write(place, text)
    service.machine.run(f"chmod a+r {place}; systemctl start {request.param}")
    service.machine.until(f"curl --silent --insecure --fail https://{HOST}/health")
    yield f"https://{HOST}"
    service.machine.run(f"systemctl stop {request.param}")


def test_a_proxy_passes_on_who_is_called_and_from_where(service: Service, proxied: str) -> None:
    prompt = {"prompt": "what is 6 * 7"}
    assert service.call("/runs/wait?timeout=300", prompt, proxied)[0] == 201
    assert service.call("/runs/wait?timeout=300", prompt, proxied, origin=proxied)[0] == 201
    assert (
        service.call("/runs/wait?timeout=300", prompt, proxied, origin="https://elsewhere.example")[
            0
        ]
        == 403
    )
    assert service.call("/runs", None, proxied, authorization="Bearer rw_none")[0] == 401
    assert "runs" in service.call("/runs", None, proxied)[1]
    assert "runs" not in service.call("/runs", None, proxied, host="elsewhere.example")[1]


def test_a_proxy_lets_events_through_as_they_happen(service: Service, proxied: str) -> None:
    run_id = service.run("sleep 3600 seconds", proxied)
    streamed = service.streamed(run_id, "event: heartbeat", proxied)
    assert "event: step.started" in streamed
    assert service.call(f"/runs/{run_id}/cancel", {}, proxied)[0] == 200


def test_a_copy_is_put_back_as_the_page_says(service: Service) -> None:
    service.machine.run(page.BACKUP_FOLDER)
    kept = service.run("add a todo to buy bread")
    service.settled(kept)
    service.command(page.BACKUP)
    lost = service.run("add a todo to buy cheese")
    service.settled(lost)
    service.machine.run(
        "systemctl stop runwright; cd /var/lib/runwright; mkdir away\n"
        "for file in runwright.db runwright.db-wal runwright.db-shm; do\n"
        "  if [ -e $file ]; then mv $file away; fi\n"
        "done\n"
        "cp -p /backups/runwright-????-??-??.db runwright.db; systemctl start runwright"
    )
    service.await_ready()
    assert service.call(f"/runs/{kept}")[0] == 200
    assert service.call(f"/runs/{lost}")[0] == 404


def test_an_upgrade_keeps_what_there_was(service: Service) -> None:
    run_id = service.run("sleep 1 seconds, then what is 6 * 7")
    service.machine.run("cd /src; sed -i 's/^version = .*/version = \"99.0\"/' pyproject.toml")
    service.machine.run(f"cd /src\n{page.UPGRADE}")
    service.await_ready()
    assert "Version: 99.0" in service.machine.run("/opt/runwright/bin/pip show runwright")
    assert service.settled(run_id)["result"]["output"] == 42


def test_a_service_that_is_stopped_ends_by_itself_in_time(service: Service) -> None:
    run_id = service.run("sleep 30 seconds")
    service.machine.run("systemctl stop runwright")
    assert service.show("Result") == "success"
    service.machine.run("systemctl start runwright")
    service.await_ready()
    assert service.call(f"/runs/{run_id}")[1]["status"] == "running"
