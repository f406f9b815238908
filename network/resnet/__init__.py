"""Extension 1: ResNets, and how the filters that ship were learned."""
