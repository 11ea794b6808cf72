"""Plain NumPy, SciPy and Python twins of the kernels, with the same signatures.

They are written to be obviously right, not fast, and share no code with what they check.
"""
