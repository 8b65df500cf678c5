"""One module per OMOP table: ``to_<table>``, a pure function, and ``MADE_FROM``, which says what it takes
(``jobs.harmonise.omop``). A module that is put here is found; nothing lists the tables."""
