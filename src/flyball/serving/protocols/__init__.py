"""Protocols a prediction is asked in: each decodes a body into the rows asked, and encodes the answer."""
