"""What is on trial: NumPy only, every derivative by hand, forward and backward side by side."""
