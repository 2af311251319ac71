"""What stands in streets: lamps, signs, lights, barriers, people."""
