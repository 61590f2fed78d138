"""From a running container to the block of a stack that describes it."""
