"""The documentation: reference pages generated from the code, pictures of a running demo, the site."""
