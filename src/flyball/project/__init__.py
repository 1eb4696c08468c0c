"""What the user declared: `flyball.toml` and `pipeline.py` as frozen records, or every finding with file, line and mend.

`load` reads a project, `create` begins one; `records`, `rules` and `steps` are what other rooms take. No names are handed
on from here: who imports a record (the serving worker, say) should not pay for reading projects.
"""
