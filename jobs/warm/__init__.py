"""Commands without their imports: a warm parent that has loaded what commands load, and forks one child a command.

``client`` starts a command, by the parent of a hub where one answers and as a process of its own where none does;
``parent`` serves, ``child`` becomes the command, ``code`` tells whether the code is still the one that was loaded.
"""
