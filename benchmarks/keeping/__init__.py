"""What keeping runs costs: size on disk before and after retention, and an explanation."""
