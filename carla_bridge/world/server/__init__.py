"""The server that speaks CARLA's protocol for the real `carla` client."""
