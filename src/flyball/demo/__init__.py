"""The year of flights, lived day by day against a running server: what `make demo` runs."""
