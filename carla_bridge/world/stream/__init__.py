"""Scenes as a source of training frames, rendered ahead by other processes."""
