"""`runwright doctor`: each file examines one thing and changes nothing."""
