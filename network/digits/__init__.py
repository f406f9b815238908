"""Task 1: the network as a diagram, what it learns beside MNIST, doubt, and how training went."""
