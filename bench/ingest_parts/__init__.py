"""What bench/ingest.py is made of."""
