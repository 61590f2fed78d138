"""GPU memory of a plan: forecast, shares and refusals."""
