"""The fast scan: which lines of a block can't hold anything that a rule looks for, told without reading them twice."""
