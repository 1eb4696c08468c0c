"""Request bytes to answer bytes: routes, protocols, workers, supervisor, hot swap."""
