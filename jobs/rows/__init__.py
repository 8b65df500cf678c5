"""From landed text to typed, pseudonymised, accounted rows: pure functions, DataFrame in, DataFrame out."""
