"""The server does what its description says, whatever it is sent."""

import subprocess
import sys
from pathlib import Path

import pytest

from graph.settings.configured import new_key
from tests.support.patience import patience
from tests.support.servers.server_process import serving

#: In an environment of its own; `make test` makes it.
SCHEMATHESIS = Path(sys.prefix) / "fuzz" / "bin" / "schemathesis"

#: An endless stream is read for a moment. Headers that a call does not name are let be: they cannot
#: be refused, and the key's own makes schemathesis want just that. No schema can tell a cursor that
#: a search has answered from any other text, nor a thread that is there, nor a name that is
#: printable. A fork names a checkpoint in its body: the 404 about one that is invented is not about
#: the run in the path. Which inputs and plans fit depends on the run and its tools; which models
#: and tools a run may be given, replayed with or called by, on the server.
CONFIG = f"""
request-timeout = {patience(30)}

[generation]
allow-extra-parameters = false

[[operations]]
include-path = "/runs/stream"
request-timeout = {patience(0.5)}

[[operations]]
include-name = "GET /runs"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "5xx"]

[[operations]]
include-name = "POST /runs/search"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "5xx"]

[[operations]]
include-name = "GET /threads"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "5xx"]

[[operations]]
include-name = "GET /audit"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "5xx"]

[[operations]]
include-name = "GET /threads/{{thread_id}}/runs"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "5xx"]

[[operations]]
include-name = "PATCH /threads/{{thread_id}}"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "409", "5xx"]

[[operations]]
include-name = "POST /plan"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "409", "429", "5xx"]

[[operations]]
include-name = "POST /runs"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "409", "429", "5xx"]

[[operations]]
include-name = "POST /runs/wait"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "409", "429", "5xx"]

[[operations]]
include-path = "/runs/{{run_id}}/fork"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "409", "5xx"]
checks.ensure_resource_availability.enabled = false

[[operations]]
include-path = "/runs/{{run_id}}/retry"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "409", "5xx"]

[[operations]]
include-path = "/runs/{{run_id}}/approve"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "409", "5xx"]

[[operations]]
include-path = "/runs/{{run_id}}/replay"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "409", "429", "5xx"]

[[operations]]
include-path = "/tools/{{name}}/call"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "409", "429", "5xx"]
"""


@pytest.mark.slow
@pytest.mark.timeout(patience(900))
@pytest.mark.parametrize("keys", [False, True], ids=["open", "keys"])
def test_no_request_makes_it_fail_or_answer_what_is_not_documented(tmp_path: Path, keys: bool):
    """Every check of schemathesis, over every call, from the same seed each time."""
    key, kept = new_key("fuzz")
    sent = ("--header", f"Authorization: Bearer {key}") if keys else ()
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    document = tmp_path / "openapi.json"
    # Nobody decides about a plan, and the next runs of its thread would wait for that.
    given = {"approval_expires": "1", **({"api_keys": str(kept)} if keys else {})}
    with serving(tmp_path, **given) as server:
        # Under the name that events have in OpenAPI 3.2 they are held to it as well.
        described = server.client.get("/openapi.json").text
        document.write_text(described.replace('"x-itemSchema"', '"itemSchema"'))
        fuzzing = subprocess.run(
            [
                str(SCHEMATHESIS),
                *("--config-file", str(config), "run", str(document), "--url", server.url),
                *("--seed", "1", "--max-examples", "30", "--no-color"),
                *sent,
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=patience(600),
            check=False,
        )
        faults = [line for line in server.lines if "failed, error id" in line]

    assert fuzzing.returncode == 0, fuzzing.stdout + fuzzing.stderr
    assert "40 selected" in fuzzing.stdout
    assert faults == []
