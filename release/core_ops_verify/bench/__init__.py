"""Benchmarks: what CoreOps costs, as ratios measured in one run beside floors that anybody can measure."""
