"""What bench/quality.py is made of."""
