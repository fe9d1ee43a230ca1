"""How phrases, numbers and sentences are found in the words of a prompt; no language is in here."""
