"""The page is served from the package: nothing of others, nothing inline, each compressed once."""

import gzip
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

from api.console.page import FOLDER, POLICY
from tests.support.servers.asgi_clients import serving

OWN = sorted(
    path
    for path in FOLDER.rglob("*")
    if path.suffix in (".js", ".css", ".html") and "vendor" not in path.parts
)


async def test_the_address_of_the_server_has_the_page_and_its_files(still):
    async with serving(still) as client:
        page = await client.get("/", headers={"accept-encoding": "identity"})
        named = re.findall(r'(?:href|src)="(console/[^"]+)"', page.text)
        files = {name: await client.get(f"/{name}") for name in named}
        head = await client.head("/")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert len(named) > 5
    assert {file.status_code for file in files.values()} == {200}
    assert files["console/main.js"].headers["content-type"].startswith("text/javascript")
    assert files["console/vendor/htm.mjs"].headers["content-type"].startswith("text/javascript")
    assert head.status_code == 200


async def test_a_file_is_compressed_and_sent_again_only_when_it_has_changed(still):
    async with serving(still) as client:
        async with client.stream("GET", "/console/style.css") as answer:
            raw = b"".join([part async for part in answer.aiter_raw()])
        again = await client.get(
            "/console/style.css", headers={"if-none-match": answer.headers["etag"]}
        )

    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["cache-control"] == "no-cache"
    assert gzip.decompress(raw) == (FOLDER / "style.css").read_bytes()
    assert (again.status_code, again.content) == (304, b"")


async def test_only_the_files_of_the_page_are_given_away(still):
    names = ("vendor/vendor.json", "vendor", "", "nothing.js", "..%2fpage.py", "%2e%2e/page.py")
    async with serving(still) as client:
        answers = [(await client.get(f"/console/{name}")).status_code for name in names]

    assert answers == [404] * len(names)


def test_what_others_wrote_is_as_its_sums_say_and_has_its_licence():
    folder = FOLDER / "vendor"
    packages = json.loads((folder / "vendor.json").read_text())

    sums = {name: digest for package in packages for name, digest in package["sha256"].items()}
    assert {path.name for path in folder.iterdir()} == {*sums, "vendor.json"}
    for name, digest in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
    for package in packages:
        assert f"{package['name']}.LICENSE" in package["sha256"]


def test_no_file_of_ours_names_another_host_or_has_inline_code():
    for path in OWN:
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")  # a name, not an address
        assert not re.search(r"https?://|//[a-z]+\.[a-z]", text), path
        assert not re.search(r"innerHTML|dangerously|\beval\b|new Function|insertAdjacent", text), (
            path
        )
    page = (FOLDER / "index.html").read_text()
    assert not re.search(r"<style|\bstyle=|\bon[a-z]+=|<script(?![^>]*\bsrc=)", page)


#: Bytes of our own: of what any place of the page loads, of all places, and of the style sheet that
#: is in neither. They follow what there is downward, never up.
PLACE, WHOLE, STYLE = 67_900, 90_000, 17_980

_IMPORT = re.compile(r"""(?:from|import\() ?["']([./][^"']+)["']""")


def loaded(path: Path, *, known: frozenset[Path] = frozenset()) -> frozenset[Path]:
    """A module with all of ours that it imports before it can do anything."""
    known |= {path}
    for line in path.read_text().splitlines():
        if line.startswith("import") and (named := _IMPORT.search(line)):
            imported = (path.parent / named[1]).resolve()
            if imported not in known and "vendor" not in imported.parts:
                known = loaded(imported, known=known)
    return known


def test_modules_are_short_and_what_is_loaded_to_see_something_is_small():
    main = FOLDER / "main.js"
    lazy = re.findall(r'import\("\./([^"]+)"\)', main.read_text())
    first = loaded(main)

    def size(paths: Iterable[Path]) -> int:
        return sum(path.stat().st_size for path in {*paths, FOLDER / "index.html"})

    modules = [path for path in OWN if path.suffix != ".css"]
    lengths = [len(path.read_text().splitlines()) for path in modules if path.suffix == ".js"]
    assert 60 <= min(lengths) <= max(lengths) <= 200
    assert len(lazy) == 6
    for name in lazy:
        assert size(first | loaded(FOLDER / name)) <= PLACE, name
    assert size(modules) <= WHOLE
    assert (FOLDER / "style.css").stat().st_size <= STYLE


def test_folders_of_the_page_are_no_long_listings():
    for folder in {path.parent for path in FOLDER.rglob("*")}:
        assert len([*folder.iterdir()]) <= 15


def test_the_wheel_has_the_files(tmp_path: Path):
    """As hatchling is told: all of the four packages, whatever the kind of file."""
    from hatchling.builders.wheel import WheelBuilder

    builder = WheelBuilder(str(FOLDER.parents[2]))
    packed = {file.distribution_path for file in builder.recurse_included_files()}

    wanted = {
        path.relative_to(FOLDER.parents[2]).as_posix()
        for path in FOLDER.rglob("*")
        if path.is_file()
    }
    assert wanted <= packed
