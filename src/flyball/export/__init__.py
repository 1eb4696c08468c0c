"""The same project as files for other tools: one pure function a target, records in, path -> text out."""
