"""One file for each thing that is asked for: the route, its body and its answer."""
