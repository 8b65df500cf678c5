"""What the hub costs: its real code side by side with other engines, and step by step. See README.md."""
