"""How fast the page is in a real Chromium, and how much of it is loaded."""
