"""Times of memnets' layers beside those of other packages: `python -m benchmarks --help`.

Reading order: contestants, peers, gate, timing, report, __main__.
"""
