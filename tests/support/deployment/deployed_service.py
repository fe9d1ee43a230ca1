"""The service of docs/deployment.md on a machine of its own, set up by the page's commands."""

import json
import re
import shlex
from typing import Any

from tests.support.checkout import packed_checkout
from tests.support.deployment import deployment_page as page
from tests.support.deployment.machine import Machine
from tests.support.patience import patience

#: The name that the page has for the host, which this machine takes for its own.
HOST = "runwright.example"

LOCAL = "http://127.0.0.1:8000"
_OWN_TOOL = "RUNWRIGHT_TOOLS=flaky:sleep\n"
_CERTIFY = (
    f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN={HOST} -addext subjectAltName=DNS:{HOST}"
    f" -keyout /etc/ssl/runwright.key -out /etc/ssl/runwright.pem 2>&1"
)


class Service:
    """A started service; calls are made on its machine, with a key of its own."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        machine.run("mkdir /src; tar --extract --directory /src", stdin=packed_checkout())
        machine.run(f"cd /src\n{page.INSTALL}")
        made = machine.run(f"PATH=/opt/runwright/bin:$PATH\n{page.NEW_KEY}")
        [self.key] = re.findall(r"rw_\S+", made)
        [entry] = re.findall(r"alice:\w+", made)
        machine.write("/etc/systemd/system/runwright.service", page.UNIT)
        self.settings = page.SETTINGS.replace("alice:…,bob:…", entry) + _OWN_TOOL
        self.configure(self.settings)
        machine.run("mkdir /var/lib/runwright; cp /src/examples/flaky.py /var/lib/runwright")
        machine.run(page.START)
        machine.run(f"echo 127.0.0.1 {HOST} >> /etc/hosts; {_CERTIFY}")
        self.await_ready()

    def configure(self, settings: str) -> None:
        """Write the settings, which the next start reads."""
        self.machine.write("/etc/runwright.env", settings)

    def await_ready(self) -> None:
        """Until runs are accepted."""
        self.machine.until(f"curl --silent --show-error --fail {LOCAL}/health/ready")

    def command(self, command: str) -> str:
        """What a command of the page prints, as the page says that it is run here."""
        assert page.BESIDE_THE_SERVICE.endswith("/runwright doctor\n")
        beside = page.BESIDE_THE_SERVICE.removesuffix("runwright doctor\n")
        return self.machine.run(beside + command)

    def show(self, name: str) -> str:
        """What systemd says of the service."""
        return self.machine.run(f"systemctl show --property {name} --value runwright")

    def call(
        self, path: str, body: Any = None, at: str = LOCAL, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """The status and the content of an answer; a `body` is posted."""
        sent = "" if body is None else f"--json {shlex.quote(json.dumps(body))}"
        told = self.machine.run(
            f"{self._curl(**headers)} --write-out '\n%{{http_code}}' {sent} {at}{path}"
        )
        content, _, status = told.rpartition("\n")
        return int(status), json.loads(content or "{}")

    def run(self, prompt: str, at: str = LOCAL) -> str:
        """Start a run; its id."""
        status, record = self.call("/runs", {"prompt": prompt}, at)
        assert status == 201, record
        return str(record["run_id"])

    def settled(self, run_id: str) -> dict[str, Any]:
        """The record once the run is settled."""
        status, record = self.call(f"/runs/{run_id}/wait?timeout=300")
        assert status == 200, record
        return record

    def streamed(self, run_id: str, last: str, at: str) -> str:
        """What has come of a run's stream when the line `last` comes."""
        curl = f"{self._curl()} --no-buffer {at}/runs/{run_id}/stream"
        told = self.machine.run(f"timeout {patience():.0f} {curl} | sed '/^{last}$/q' || true")
        assert last in told.splitlines(), told  # curl may add that it was cut off
        return told

    def _curl(self, **headers: str) -> str:
        given = {"authorization": f"Bearer {self.key}", **headers}
        lines = "".join(f" --header '{name}: {value}'" for name, value in given.items())
        # Each proxy has a certificate of its own making.
        return f"curl --silent --show-error --insecure{lines}"
