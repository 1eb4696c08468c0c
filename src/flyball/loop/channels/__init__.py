"""Alert channels: a pure function per kind from messages to requests, and the senders that carry those out."""
