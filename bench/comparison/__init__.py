"""What bench/compare is made of. Python's standard library only, but for measure.py and workloads/,
which run in the processes that are measured and need PyTorch."""
