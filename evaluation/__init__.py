"""How good an answer is: metrics, baselines, significance and the report. Plain NumPy."""
