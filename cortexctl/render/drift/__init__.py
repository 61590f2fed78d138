"""A drift report in all its forms."""
