"""A pipeline: a module of `@step` functions that becomes a finished, recorded run.

`step` and `split` are what users write with; `runs` is the book of runs; `execute` runs the steps of one, each in a
process of its own forked by `workers` from a warm template; `artifact` keeps results as files between them.
"""
