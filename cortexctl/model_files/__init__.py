"""CORE: what is known of a model's files. Who reads them is passed in."""
