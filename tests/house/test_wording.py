"""What is said to people reads as the golden file has it; elsewhere tests ask for structure."""

from tests.support.wording.golden import WRITE, difference, kept, rendered
from tests.support.wording.messages import AREAS, golden, provoked


def test_every_sentence_for_people_reads_as_the_golden_file_has_it():
    changed = difference()

    assert not changed, f"the wording differs; if it is meant, {WRITE}:\n{changed}"
    assert kept().encode() == rendered().encode()
    # So other tests read it.
    assert golden() == {area: provoked(area) for area in AREAS}


def test_every_key_stands_for_one_sentence():
    """A sentence that is not there would be pinned by nothing."""
    for area in AREAS:
        empty = [key for key, text in provoked(area).items() if not text.strip() or "\n\n[" in text]
        assert empty == []
