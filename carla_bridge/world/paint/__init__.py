"""What is painted on roads: lines, symbols and coloured areas, and how much is left of them."""
