"""What is particular to each contributor. One folder per source: ``filters.toml``, ``filters.py``, ``events.py``,
``README.md``; ``protocol`` says what they hold, and refuses a folder that does not.

Input is always one or more whole monthly slices of a source's published tables: the contract's columns and the
partition column ``_period``. Rows of different slices never meet, so that building slice by slice equals building
everything at once.
"""
