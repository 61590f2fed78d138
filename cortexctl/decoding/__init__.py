"""CORE: JSON from outside to typed values, checked in one place."""
