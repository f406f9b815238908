"""Task 1: the network as a diagram and how its training went."""
