"""Text as it would read if nothing in it were hidden."""
