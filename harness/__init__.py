"""What tests and benchmarks both need: a running platform, the sample, sets of questions, a model tuned and served."""
