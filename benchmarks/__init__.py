"""Times of memnets' layers beside those of other packages: `python -m benchmarks --help`.

Reading order: cases, contestants, peers, gate, timing, compare, report; then what else can be
measured: isolated (memory, first call), limits and profiling, data_rate,
starts.
"""
