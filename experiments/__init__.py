"""The table of docs/results.md: the experiments as data, and what runs them."""
