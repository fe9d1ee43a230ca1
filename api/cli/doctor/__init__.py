"""`runwright doctor`: each file examines one thing and changes nothing.

Others use `doctor.examined`.
"""
