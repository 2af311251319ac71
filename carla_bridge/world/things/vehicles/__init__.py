"""Vehicles, driving and parked: cars, lorries, buses, cycles."""
