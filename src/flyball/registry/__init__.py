"""Which versions exist, where they come from, which is live and which was live then; the gate; the audit."""
