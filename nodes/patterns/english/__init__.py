"""What people say, as tables: one line stands for many phrases."""
