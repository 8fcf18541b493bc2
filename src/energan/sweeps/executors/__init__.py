"""Where trials are worked on: processes here, or the tasks of a Ray cluster."""
