"""SHELL: HTTP requests: to a running model server, and to the Hugging Face Hub for model files."""
