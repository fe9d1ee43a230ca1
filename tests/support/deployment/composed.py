"""The fleet of compose.yaml, with the images of Debian's packages in place of published ones."""

import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import httpx

from tests.support.checkout import ROOT, packed_checkout
from tests.support.deployment.debian_images import make_postgres_image
from tests.support.deployment.docker_engine import DockerEngine
from tests.support.patience import wait_until
from tests.support.servers.server_process import http_client


class Composed:
    """A started fleet; `client` calls its server, on the port of loopback that it publishes."""

    def __init__(self, context: DockerEngine, checkout: Path) -> None:
        self.context = context
        self._folder = checkout
        subprocess.run(["tar", "-x"], cwd=checkout, input=packed_checkout(), check=True)
        [image] = re.findall(r"image: (postgres:\S+)", (ROOT / "compose.yaml").read_text())
        make_postgres_image(context, image)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.compose("up --detach --build")
        self.client = http_client(f"http://127.0.0.1:{self._port}")
        wait_until(self._is_ready, seconds=120, otherwise=lambda: self.compose("logs"))

    def compose(self, arguments: str) -> str:
        """What `docker compose` prints, or its predecessor where that is what there is."""
        plugin = "docker compose version >/dev/null 2>&1"
        command = f"RUNWRIGHT_PORT={self._port} $compose {arguments} 2>&1"
        given = f"if {plugin}; then compose='docker compose'; else compose=docker-compose; fi"
        return self.context.run(f"{given}\n{command}", folder=self._folder)

    def containers(self, service: str) -> list[str]:
        """The ids of those that run."""
        return self.compose(f"ps --quiet {service}").split()

    def kill(self, container: str) -> None:
        """SIGKILL to its process, which Docker is not asked for: it is to start it again."""
        os.kill(int(self._inspect(container)["State"]["Pid"]), signal.SIGKILL)

    def restarts(self, container: str) -> int:
        """How often Docker has started it again."""
        return int(self._inspect(container)["RestartCount"])

    def _inspect(self, container: str) -> dict[str, Any]:
        [found] = json.loads(self.context.run(f"docker inspect {container}"))
        return dict(found)

    def _is_ready(self) -> bool:
        try:
            return self.client.get("/health/ready").is_success
        except httpx.TransportError:
            return False

    def down(self) -> None:
        """Stop and remove all of it, with the database."""
        self.client.close()
        self.compose("down --volumes --timeout 1")
