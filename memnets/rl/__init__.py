"""Memory layers in libraries of reinforcement learning; each module needs its library.

`pip install 'memnets[rl]'` brings them. Nothing else in memnets imports these modules.
"""
