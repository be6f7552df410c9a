"""The injection score: few features that explain themselves, weighed by a logistic model."""
