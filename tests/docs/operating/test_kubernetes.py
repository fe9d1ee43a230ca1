"""kubernetes.yaml and compose.yaml name what the program has: commands, settings, ports, probes."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.cli.command import _parser
from api.cli.serve import WORKER_GRACE
from graph.queue.worker import LOOP_SILENCE
from graph.settings import Settings
from tests.support.checkout import ROOT
from tests.support.databases.postgres import PostgresServer, runs_kept_in
from tests.support.deployment import deployment_page as page
from tests.support.own_tools.gate_tool import GATE, open_gate
from tests.support.patience import wait_until
from tests.support.servers.fleet import FleetProcesses
from tests.support.servers.server_process import http_client, serving

OBJECTS: list[dict[str, Any]] = [*yaml.safe_load_all((ROOT / "kubernetes.yaml").read_text())]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())

#: What checks the objects that every cluster knows.
VALIDATE = Path(sys.prefix) / "kube" / "bin" / "kubernetes-validate"

#: As Compose reads them.
SECONDS = re.compile(r"(\d+)s")


def named(kind: str, name: str) -> dict[str, Any]:
    [found] = [
        one
        for one in OBJECTS
        if (one["kind"], one["metadata"]["name"]) == (kind, f"runwright{name}")
    ]
    return found


def pod(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The specification of a deployment's pods, and of their one container."""
    spec = named("Deployment", name)["spec"]["template"]["spec"]
    [container] = spec["containers"]
    return spec, container


@pytest.fixture
def folder(tmp_path: Path, postgres: PostgresServer) -> Iterator[Path]:
    with runs_kept_in(tmp_path, postgres.empty()):
        yield tmp_path


@pytest.mark.slow
def test_the_objects_are_such_as_a_cluster_takes() -> None:
    assert VALIDATE.exists(), "`make .venv/.kube` installs it"
    checked = subprocess.run(
        [VALIDATE, "--strict", ROOT / "kubernetes.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    told = checked.stdout + checked.stderr
    assert checked.returncode == 0, told
    assert told.count(" passed ") == 5, told


def test_every_command_is_one_of_the_program() -> None:
    commands = [
        *(pod(name)[1]["args"] for name in ("-server", "-worker")),
        *(COMPOSE["services"][name]["command"].split() for name in ("server", "worker")),
    ]
    for command in commands:
        assert _parser().parse_args(command).process
    image = (ROOT / "Dockerfile").read_text()
    assert 'ENTRYPOINT ["/opt/runwright/bin/runwright"]' in image


def test_every_setting_is_one_of_the_program() -> None:
    files = [
        (ROOT / name).read_text() for name in ("kubernetes.yaml", "compose.yaml", "Dockerfile")
    ]
    read = {name.lower() for name in re.findall(r"RUNWRIGHT_([A-Z_]+)", "".join(files))}
    # Its port is that of the machine, to which Compose publishes the server's.
    assert read <= set(Settings.model_fields)
    given = {
        one["name"].removeprefix("RUNWRIGHT_").lower(): one["value"].replace(
            "$(POD_IP)", "10.1.2.3"
        )
        for one in pod("-server")[1]["env"]
        if "value" in one
    }
    shared = named("ConfigMap", "")["data"]
    given |= {name.removeprefix("RUNWRIGHT_").lower(): text for name, text in shared.items()}
    settings = Settings(**given)
    assert "10.1.2.3" in settings.allowed_hosts


def test_processes_have_longer_to_end_than_they_take() -> None:
    server, container = pod("-server")
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert server["terminationGracePeriodSeconds"] > pause + Settings().grace
    assert pod("-worker")[0]["terminationGracePeriodSeconds"] > WORKER_GRACE
    for name, grace in (("server", Settings().grace), ("worker", WORKER_GRACE)):
        [seconds] = SECONDS.findall(COMPOSE["services"][name]["stop_grace_period"])
        assert int(seconds) > grace


def test_the_ports_are_those_on_which_the_server_listens() -> None:
    [port] = pod("-server")[1]["ports"]
    assert port["containerPort"] == Settings().port
    [service] = named("Service", "")["spec"]["ports"]
    assert service["targetPort"] == port["name"]
    [published] = COMPOSE["services"]["server"]["ports"]
    assert published.endswith(f":{Settings().port}")
    assert published.startswith("127.0.0.1:")
    assert f"EXPOSE {Settings().port}\n" in (ROOT / "Dockerfile").read_text()


def test_objects_that_belong_together_name_each_other() -> None:
    for name in ("-server", "-worker"):
        spec = named("Deployment", name)["spec"]
        assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    labels = named("Deployment", "-server")["spec"]["template"]["metadata"]["labels"]
    assert named("Service", "")["spec"]["selector"] == labels
    budget = named("PodDisruptionBudget", "-server")["spec"]["selector"]["matchLabels"]
    assert budget == labels
    scaled = named("ScaledObject", "-worker")["spec"]
    target = named("Deployment", "-worker")
    assert scaled["scaleTargetRef"]["name"] == target["metadata"]["name"]
    assert "replicas" not in target["spec"], "two would set them"
    [trigger] = scaled["triggers"]
    secret = named("TriggerAuthentication", "")
    assert trigger["authenticationRef"]["name"] == secret["metadata"]["name"]
    [given] = secret["spec"]["secretTargetRef"]
    assert given["key"] == "RUNWRIGHT_DATABASE_URL"


def test_the_probes_find_a_server_ready_that_they_call_by_its_address(folder: Path) -> None:
    """What a kubelet asks, by the address of a pod that is no loopback name."""
    container = pod("-server")[1]
    with serving(folder, workers="0") as server, http_client(server.url) as client:
        for name in ("startupProbe", "livenessProbe", "readinessProbe"):
            probe = container[name]["httpGet"]
            headers = {one["name"]: one["value"] for one in probe["httpHeaders"]}
            assert client.get(probe["path"], headers=headers).status_code == 200
            assert client.get(probe["path"], headers={"Host": "10.1.2.3:8000"}).status_code == 403


def test_the_probes_find_a_worker_alive_that_they_call_by_its_address(folder: Path) -> None:
    container = pod("-worker")[1]
    [port] = container["ports"]
    assert _parser().parse_args(container["args"]).metrics_port == str(port["containerPort"])
    with FleetProcesses(folder, servers=0, workers=1, metrics_port="0") as fleet:
        [url] = re.findall(r"(http://\S+)/metrics", fleet.workers[0].logs("working"))
        with http_client(url) as client:
            for name in ("startupProbe", "livenessProbe"):
                probe = container[name]["httpGet"]
                assert probe["port"] == port["name"]
                headers = {one["name"]: one["value"] for one in probe["httpHeaders"]}
                assert client.get(probe["path"], headers=headers).is_success
    # As long as a tool may block its loop.
    probe = container["livenessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] > LOOP_SILENCE


def test_workers_are_scaled_by_what_there_is_to_do(folder: Path, postgres: PostgresServer) -> None:
    """What waits in the queue and what is executed, and not what rests."""
    [trigger] = named("ScaledObject", "-worker")["spec"]["triggers"]
    query = trigger["metadata"]["query"]

    def work() -> int:
        [(count,)] = postgres.execute(query)
        return int(count)

    # As many as a worker has slots for, twice.
    target = int(trigger["metadata"]["targetQueryValue"])
    slots = _parser().parse_args(pod("-worker")[1]["args"]).max_executing
    assert target == 2 * int(slots)
    with FleetProcesses(
        folder, servers=1, workers=1, tools=GATE, in_flight="2", max_executing="2"
    ) as fleet:
        server = fleet.servers[0]
        body = {"prompt": "add tea to my list", "mode": "plan"}
        resting = server.client.post("/runs", json=body).json()["run_id"]
        server.until(resting, lambda run: run["status"] == "waiting")
        wait_until(lambda: not work(), otherwise=lambda: str(work()))
        posted = [server.post("pass gate a") for _ in range(7)]
        assert work() == 7
        open_gate(folder, "a")
        for run_id in posted:
            server.settled(run_id)
        wait_until(lambda: not work(), otherwise=lambda: str(work()))


def test_the_page_says_how_the_fleet_is_started() -> None:
    assert (
        "`docker compose up` in a checkout starts Postgres, a server and two workers" in page.PAGE
    )
    assert set(COMPOSE["services"]) == {"postgres", "server", "worker"}
    assert COMPOSE["services"]["worker"]["scale"] == 2
