"""What stands on the contributors' side. The hub's steps import nothing of it."""
