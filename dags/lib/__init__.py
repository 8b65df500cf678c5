"""What the DAG files share. Operators and triggers live here because the triggerer cannot import from a DAG file."""
