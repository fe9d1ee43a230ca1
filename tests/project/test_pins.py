"""What runs is installed without what develops, in the same versions, and stays light."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement

from tests.support.checkout import ROOT
from tests.support.deployment.pins import for_here, megabytes, needed, read_pins

PROJECT = (ROOT / "pyproject.toml").read_text()
_TABLE = tomllib.loads(PROJECT)["project"]
EXTRAS: dict[str, list[str]] = _TABLE["optional-dependencies"]

#: What each file of pins is resolved from.
ASKED = {
    "": [*_TABLE["dependencies"], *EXTRAS["checkout"]],
    "-mcp": [*_TABLE["dependencies"], *EXTRAS["checkout"], *EXTRAS["mcp"]],
    "-models": [*_TABLE["dependencies"], *EXTRAS["checkout"], *EXTRAS["models"]],
    "-dev": [*_TABLE["dependencies"], *(one for extra in EXTRAS.values() for one in extra)],
}
PINS = {which: read_pins(ROOT / f"constraints{which}.txt") for which in ASKED}
RUNNING, SERVED, MODELS, DEVELOPING = PINS.values()

#: What tools of developers and the client of models bring along, the heaviest of it.
FOREIGN = {"boto3", "cryptography", "grpcio", "ipython", "jupyter-client", "langgraph-api"}

each_file = pytest.mark.parametrize("which", ASKED, ids=lambda which: f"constraints{which}")


def names(requirements: list[str]) -> set[str]:
    return {Requirement(one).name for one in requirements}


def test_every_dependency_has_its_reason_beside_it() -> None:
    reasons = dict(re.findall(r'(?m)^  "([^"]+)", +# (.+)$', PROJECT))
    for requirement in [*_TABLE["dependencies"], *(one for of in EXTRAS.values() for one in of)]:
        assert len(reasons.get(requirement, "").split()) > 0, requirement


def test_what_runs_has_no_tools_of_developers_and_no_client_of_models() -> None:
    tools = names(EXTRAS["dev"] + EXTRAS["drawing"]) - {"packaging"}  # langchain-core needs it too
    assert not (tools | FOREIGN | names(EXTRAS["models"])) & RUNNING.keys()
    # The client of models and the tools of servers are checked by it, too.
    assert not (tools - {"jsonschema"}) & (MODELS.keys() | SERVED.keys())


def test_the_files_agree_on_versions_and_hashes() -> None:
    pairs = ((RUNNING, SERVED), (SERVED, DEVELOPING), (RUNNING, MODELS), (MODELS, DEVELOPING))
    for fewer, more in pairs:
        assert fewer.keys() < more.keys()
        for name, pin in fewer.items():
            assert (pin.version, pin.hashes) == (more[name].version, more[name].hashes), name


def test_every_pin_has_hashes_and_no_file_names_an_index() -> None:
    own = (ROOT / "tests").glob("*_constraints.txt")
    for file in (*ROOT.glob("constraints*.txt"), *own):
        assert all(pin.hashes for pin in read_pins(file).values())
        assert "://" not in file.read_text()


@each_file
def test_nothing_is_left_out_and_nothing_is_more_than_needed(which: str) -> None:
    """They are installed without looking at what they depend on."""
    assert for_here(PINS[which]) == needed(ASKED[which])
    for one in map(Requirement, ASKED[which]):
        assert one.specifier.contains(PINS[which][one.name].version), one


def test_what_runs_stays_light() -> None:
    """Packages and megabytes, as installed here: a start took 182 and 807 once."""
    assert len(for_here(RUNNING)) <= 70
    assert megabytes(for_here(RUNNING)) <= 130
    assert len(for_here(SERVED)) <= 80
    assert megabytes(for_here(SERVED)) <= 170
    assert len(for_here(MODELS)) <= 115
    assert megabytes(for_here(MODELS)) <= 430
