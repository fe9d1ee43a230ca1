"""What finding runs costs."""
