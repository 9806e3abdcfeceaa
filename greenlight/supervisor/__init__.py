"""The processes of a one-machine stack, and what keeps them running.

`programs` says which there are and writes supervisord's configuration. `keep` and
`shim` are run as scripts, by path: they import nothing of Greenlight, so that they
cost a few megabytes and milliseconds. `web` serves the application.
"""
