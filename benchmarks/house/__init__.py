"""How the code is laid out, counted from it: sizes, listings, imports, words, files entered."""
