"""Trees, bushes, woods and grass."""
