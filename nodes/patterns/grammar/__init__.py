"""How phrases, numbers and sentences are found in the words of a prompt, in any language.

Others use `numbers`, `phrases` and `words`.
"""
