"""What `runwright doctor` looks at: each file examines one thing and changes nothing."""
