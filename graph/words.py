"""The words of a text, as SQLite's full-text search (`unicode61`, no diacritics) reads them."""

import unicodedata


def words(text: str) -> list[str]:
    """Runs of letters and digits, in lower case and without accents."""
    apart = unicodedata.normalize("NFD", text)
    bare = "".join(character for character in apart if not "\u0300" <= character <= "\u0331")
    lower = unicodedata.normalize("NFC", bare).lower()
    return "".join(character if _is_of_word(character) else " " for character in lower).split()


def terms(text: str) -> list[str]:
    """What to look for: the parts of a text between blanks, but those without any word."""
    return [part for part in text.split() if words(part)]


def has_terms(prompt: str, text: str) -> bool:
    """Whether the words of each term follow each other in the prompt; never without terms."""
    sought = [words(term) for term in terms(text)]
    return bool(sought) and all(_follow(words(prompt), term) for term in sought)


def full_text_query(text: str) -> str | None:
    """The same as a query, in which nothing of the text is syntax; None without terms."""
    quoted = ['"' + term.replace('"', '""') + '"' for term in terms(text)]
    return " AND ".join(quoted) or None


def _is_of_word(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] in "LN" or category == "Co"


def _follow(present: list[str], sought: list[str]) -> bool:
    size = len(sought)
    return any(present[place : place + size] == sought for place in range(len(present)))
