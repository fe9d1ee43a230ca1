"""Shows how the golden file of wording would change; `--write` writes it anew."""

import logging
import sys

from tests.support.wording.golden import difference, write

logging.disable()  # what is provoked is no news
sys.stdout.write(difference())
if "--write" in sys.argv[1:]:
    write()
