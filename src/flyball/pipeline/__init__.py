"""How a declared DAG becomes a finished, recorded run: step processes, files between steps, retries, resume."""
