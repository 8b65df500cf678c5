"""What Spark's tasks run: the only Python of the hub that reads its secret keys, and only where Spark runs."""
