"""What a person types. Thin: parse, call, print."""
