"""From received text to typed, pseudonymised, accounted rows: pure functions. Casts and row rules take blocks of Arrow;
what follows them takes DataFrames."""
