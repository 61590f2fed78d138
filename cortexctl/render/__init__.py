"""EDGE OUT: values to text for people and machines."""
