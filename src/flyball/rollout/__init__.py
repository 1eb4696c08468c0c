"""Which version should answer next: evidence and the state machine of shadow and full."""
