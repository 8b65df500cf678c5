"""Stem events to OMOP CDM 5.4 tables: pure functions, DataFrame in, DataFrame out. No table is read or written here."""
