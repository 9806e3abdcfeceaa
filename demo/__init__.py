"""The main job, end to end, on real data: run it with `make demo`."""
