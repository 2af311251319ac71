"""Symbols on the road: which ones a scene has, where they belong, and their drawings."""
