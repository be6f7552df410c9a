"""Drills: the executor against targets in processes of their own, killed and crowded."""
