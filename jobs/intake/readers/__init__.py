"""One reader for each physical form: a file becomes Arrow batches."""
