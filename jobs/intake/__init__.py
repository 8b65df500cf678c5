"""The door: contributors' deliveries are listed, checked and received here, in one streaming pass per file."""
