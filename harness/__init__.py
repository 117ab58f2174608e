"""What tests and benchmarks share: a running platform, the sample, question sets, a model tuned and served."""
