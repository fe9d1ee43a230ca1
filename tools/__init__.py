"""Tools: typed functions that know nothing of runs, graphs or HTTP."""
