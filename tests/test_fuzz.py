"""The server does what its description says, whatever it is sent."""

import subprocess
import sys
from pathlib import Path

from tests.server_process import serving

#: An endless stream is read for a moment. No schema can tell a cursor that a search has answered
#: from any other text.
CONFIG = """
request-timeout = 10.0

[[operations]]
include-path = "/runs/stream"
request-timeout = 0.3

[[operations]]
include-name = "GET /runs"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "5xx"]

[[operations]]
include-name = "POST /runs/search"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "5xx"]
"""


def test_no_request_makes_it_fail_or_answer_what_is_not_documented(tmp_path: Path):
    """Every check of schemathesis, over every call, from the same seed each time."""
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    with serving(tmp_path) as server:
        fuzzing = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli"),
                *("--config-file", str(config), "run", f"{server.url}/openapi.json"),
                *("--checks", "all", "--seed", "1", "--max-examples", "30", "--no-color"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        faults = [line for line in server.lines if "failed, error id" in line]

    assert fuzzing.returncode == 0, fuzzing.stdout + fuzzing.stderr
    assert "16 selected" in fuzzing.stdout
    assert faults == []
